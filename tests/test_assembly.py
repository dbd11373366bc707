from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sglite import assembly
from sglite.assembly import EngineParts, assemble_engine
from sglite.config import EngineConfig
from sglite.config_resolve import resolve
from sglite.errors import ConfigError
from sglite.executors.replay_executor import ReplayExecutor
from sglite.executors.threaded_executor import ThreadedExecutor
from sglite.executors.torch_executor import TorchExecutor
from sglite.hardware import HardwareFacts
from sglite.kvcache.kv_pool import KV_DTYPES
from sglite.make_model import make_model
from sglite.memory import MemoryPlan, plan_for_config
from sglite.models.loader import read_model_info
from sglite.models.replayed_decoder import ReplayedDecoder
from sglite.observability.events import EventStream
from sglite.request import Request, SamplingParams
from tests.cli.real_model import SIZES
from tests.device_double import LazyDevice
from tests.kernels.cpu.kernels import extension

TINY = {**SIZES, "max_position_embeddings": 64}


def assemble(directory: Path, **options: Any) -> EngineParts:
    defaults = {"device": "cpu", "max_total_tokens": 2048, "load_format": "dummy"}
    return assemble_engine(
        resolve(EngineConfig(**{**defaults, **options}), HardwareFacts()),
        read_model_info(directory),
        make_checker=lambda _: None,
        events=EventStream(),
        show_progress=False,
    )


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("tiny"), dtype="float32", **TINY)


@pytest.fixture(scope="module")
def dynamic_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dynamic")
    return make_model(directory, dtype="float32", rope_scaling="dynamic", **TINY)


def generate(parts: EngineParts, request_id: str, prompt: list[int]) -> int:
    """Run one request; returns its cached tokens."""
    sampling = SamplingParams(temperature=0.0)
    request = Request(
        request_id=request_id, prompt_token_ids=prompt, sampling=sampling, max_new_tokens=2
    )
    parts.engine.add(request)
    finished = []
    while parts.engine.has_work:
        finished += parts.engine.step().finished
    return finished[0].num_cached_tokens


def test_nothing_is_left_open_in_the_config(model_dir: Path) -> None:
    parts = assemble(model_dir)
    assert parts.config.context_length == 64
    assert parts.config.max_total_tokens == parts.memory.num_tokens == 2048
    cache = parts.engine.scheduler.cache
    assert cache.num_total_tokens == 2048
    assert generate(parts, "r", [1, 2, 3]) == 0


def test_a_context_beyond_the_model_is_refused_before_weights_are_read(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sglite.assembly.load_model", None)
    with pytest.raises(ConfigError, match=r"context_length is 65; .* made for 64"):
        assemble(model_dir, context_length=65)


@pytest.mark.parametrize("max_in_flight", [1, 2, 3])
def test_overlap_needs_a_thread(model_dir: Path, max_in_flight: int) -> None:
    parts = assemble(model_dir, max_in_flight=max_in_flight)
    assert isinstance(parts.engine.executor, ThreadedExecutor) == (max_in_flight > 1)
    assert parts.engine.max_in_flight == max_in_flight
    parts.engine.close()


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"cpu_kernels": "torch"}, TorchExecutor),
        ({"cpu_kernels": "portable"}, ReplayExecutor),
        ({"cpu_kernels": "auto"}, ReplayExecutor),
        ({"cpu_kernels": "auto", "page_size": 8}, TorchExecutor),
        ({"cpu_kernels": "auto", "dtype": "float16"}, TorchExecutor),
    ],
)
def test_the_compiled_kernels_run_what_they_can(
    model_dir: Path, caplog: pytest.LogCaptureFixture, options: dict[str, Any], kind: type
) -> None:
    extension()
    parts = assemble(model_dir, **options)
    assert type(parts.engine.executor) is kind
    assert generate(parts, "r", [1, 2, 3]) == 0
    could_not = options["cpu_kernels"] == "auto" and kind is TorchExecutor
    assert any("cpu_kernels" in getattr(r, "fields", {}) for r in caplog.records) == could_not


@pytest.mark.parametrize("deterministic", [False, True])
def test_deterministic_engines_group_nothing_by_the_batch(
    model_dir: Path, deterministic: bool
) -> None:
    parts = assemble(model_dir, cpu_kernels="auto", deterministic=deterministic)
    assert isinstance(parts.model.model, ReplayedDecoder)
    assert parts.model.model.groups_prefixes is not deterministic


def test_what_cannot_be_deterministic_is_told(
    model_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assemble(model_dir, deterministic=True)
    assert caplog.records == []
    assemble(model_dir, deterministic=True, page_size=8)
    told = [record.fields.get("option", "") for record in caplog.records]
    assert any(option.startswith("deterministic (torch") for option in told)


@pytest.mark.parametrize("kernels", ["torch", "auto"])
@pytest.mark.parametrize("kv_dtype", ["bfloat16", "int8", "fp8_e4m3"])
def test_kv_has_the_type_that_was_asked_for(model_dir: Path, kernels: str, kv_dtype: str) -> None:
    extension()
    parts = assemble(model_dir, cpu_kernels=kernels, kv_cache_dtype=kv_dtype)
    pool = parts.engine.executor._kv_pool  # type: ignore[attr-defined]
    assert pool.dtype == KV_DTYPES[kv_dtype]
    assert pool.num_bytes == parts.memory.kv_bytes
    assert generate(parts, "r", [1, 2, 3]) == 0


def test_every_kv_group_gets_a_pool(tmp_path: Path) -> None:
    windowed = {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}
    directory = make_model(tmp_path, dtype="float32", **TINY, **windowed)
    cache = assemble(directory).engine.scheduler.cache
    assert [group.kind for group in cache.groups] == ["paged_full", "paged_window"]
    assert [allocator.num_pages for allocator in cache.allocators] == [128, 128]


def test_readiness_is_told_with_its_figures(
    model_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="sglite"):
        assemble(model_dir)
    (record,) = [record for record in caplog.records if record.message == "engine_ready"]
    fields = record.fields  # type: ignore[attr-defined]
    assert fields["architecture"] == "Qwen3ForCausalLM"
    assert (fields["dtype"], fields["kv_tokens"]) == ("float32", 2048)
    assert fields["weights_bytes"] > 0


def settled(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [
        record.fields["reason"]  # type: ignore[attr-defined]
        for record in caplog.records
        if record.message == "option_settled"
    ]


def test_keys_that_depend_on_the_length_are_not_shared(
    dynamic_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="sglite"):
        parts = assemble(dynamic_dir)
    assert parts.config.disable_radix_cache
    (reason,) = settled(caplog)
    assert "dynamic rope scaling" in reason and "64 tokens" in reason
    assert [generate(parts, name, list(range(1, 50))) for name in "ab"] == [0, 0]


def test_up_to_the_trained_length_they_are(
    dynamic_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="sglite"):
        parts = assemble(dynamic_dir, context_length=64)
    assert not parts.config.disable_radix_cache
    assert settled(caplog) == []
    assert [generate(parts, name, list(range(1, 50))) for name in "ab"] == [0, 48]


def test_nothing_is_settled_where_the_cache_is_off_anyway(
    dynamic_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="sglite"):
        assert assemble(dynamic_dir, disable_radix_cache=True).config.disable_radix_cache
    assert settled(caplog) == []


class ThreePages:
    """A team whose ranks have room for three pages."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def watched(self, work: Callable[[], MemoryPlan]) -> MemoryPlan:
        return work()

    def settle(self, phase: str, num_pages: int) -> int:
        self.heard.append((phase, num_pages))
        return min(num_pages, 3)


def test_ranks_with_devices_settle_on_what_fits_all(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, info = resolve(EngineConfig(device="cpu"), HardwareFacts()), read_model_info(model_dir)
    estimate = replace(plan_for_config(config, info), num_pages=5)
    measured = replace(estimate, num_pages=9)
    monkeypatch.setattr(assembly, "plan_on_device", lambda *args: measured)
    team: Any = ThreePages()
    model: Any = None
    found = assembly._measure(config, model, LazyDevice(), estimate, team)
    assert (found.num_pages, team.heard) == (3, [("measured", 9)])
    assert assembly._measure(config, model, LazyDevice(), estimate, None).num_pages == 9
