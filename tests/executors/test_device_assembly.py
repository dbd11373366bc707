"""What is put together for a device answers as the host does, and its memory is measured."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from sglite.assembly import build_engine, plan_on_device
from sglite.config import EngineConfig
from sglite.config_resolve import resolve
from sglite.distributed.layout import RankLayout
from sglite.distributed.open_groups import RankGroups
from sglite.errors import ConfigError
from sglite.executors import device_assembly
from sglite.executors.device_assembly import (
    capture_graphs,
    largest_step,
    make_device_pool,
    measure_memory,
)
from sglite.executors.device_executor import DeviceExecutor
from sglite.hardware import HardwareFacts
from sglite.memory import MemoryFacts, MemoryPlan, plan_memory
from sglite.models.decoder import Decoder
from sglite.models.layers.parallel import ModelShare
from sglite.observability.events import EventStream
from tests.device_double import LazyDevice
from tests.distributed.rank_threads import run_ranks
from tests.engine.harness import Driver, as_loaded
from tests.executors.device import make_device_executor
from tests.model_harness import load_decoder
from tests.models.parity_models import make_model

MIB = 1 << 20
PROMPTS = [[(7 * i + 3 * n) % 250 for i in range(5 + 9 * n)] for n in range(4)]
ROW = {"rope": "default", "gqa_ratio": 2, "head_dim": 64, "tied": True}
SIZES = {"page_size": 4, "max_rows": 4, "max_tokens": 64}


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    """Full and windowed layers: two KV groups."""
    return load_decoder(make_model({"variant": "qwen3-bias-window", **ROW}))


def config_for(**options: Any) -> EngineConfig:
    """A config of the CPU, settled, with CUDA graphs nevertheless where they are asked for."""
    graphs = {name: options.pop(name) for name in list(options) if name.startswith("cuda_graph")}
    defaults = {
        "device": "cpu",
        "check": True,
        "context_length": 64,
        "page_size": 4,
        "max_running_requests": 4,
        "chunked_prefill_size": 24,
    }
    return replace(resolve(EngineConfig(**{**defaults, **options}), HardwareFacts()), **graphs)


class ScriptedDevice(LazyDevice):
    """A lazy device with so much free memory at each question, and a list of what was asked."""

    def __init__(self, *free_mib: int) -> None:
        super().__init__()
        self._free = [amount * MIB for amount in free_mib]
        self.calls: list[str] = []

    def memory(self) -> tuple[int, int]:
        self.calls.append("memory")
        return self._free.pop(0), 1000 * MIB

    def release(self) -> None:
        self.calls.append("release")

    def forget_graphs(self) -> None:
        self.calls.append("forget")


class FullDevice(LazyDevice):
    """Out of memory where somebody enqueues work, or captures it."""

    def __init__(self, at: str) -> None:
        super().__init__()
        setattr(self, at, self._refuse)

    def _refuse(self, work: Callable[[], object]) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 300.00 MiB.")


@pytest.mark.parametrize(
    ("options", "lengths", "pages_per_run"),
    [
        ({}, [6, 6, 6, 6], [2, 2, 2, 2]),
        ({"chunked_prefill_size": 27}, [7, 7, 7, 6], [2, 2, 2, 2]),
        ({"chunked_prefill_size": 3}, [1, 1, 1], [1, 1, 1]),
        ({"max_running_requests": 1}, [24], [6]),
        ({"max_running_requests": 2, "page_size": 1}, [12, 12], [12, 12]),
        ({"chunked_prefill_size": 400}, [64, 64, 64, 64], [16, 16, 16, 16]),
        ({"chunked_prefill_size": -1}, [16, 16, 16, 16], [4, 4, 4, 4]),
        ({"chunked_prefill_size": -1, "context_length": None}, [12, 12, 12, 12], [3, 3, 3, 3]),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_the_largest_step_has_all_tokens_rows_and_samples(
    decoder: Decoder, options: dict[str, Any], lengths: list[int], pages_per_run: list[int]
) -> None:
    """Without a context length it is the model's, 48."""
    plan, num_pages = largest_step(config_for(**options), decoder.spec)
    assert plan.run_lengths == lengths
    assert len(plan.token_ids) == sum(lengths)
    assert plan.run_rows == plan.sample_runs == list(range(len(lengths)))
    assert [setup.row for setup in plan.added_rows] == plan.run_rows
    assert plan.run_starts == [0] * len(lengths)
    assert not any(plan.run_continues)
    assert num_pages == sum(pages_per_run)
    for group in range(2):
        pages = [setup.page_ids[group] for setup in plan.added_rows]
        assert [len(own) for own in pages] == pages_per_run
        assert sorted(page for own in pages for page in own) == list(range(num_pages))


def test_the_pool_has_a_spare_page_in_every_group(decoder: Decoder) -> None:
    pool = make_device_pool(config_for(), as_loaded(decoder), 9, LazyDevice())
    assert [storage.shape[2] for storage in pool.storage] == [10, 10]
    assert [pool.spare_page(group) for group in range(2)] == [9, 9]
    assert pool.dtype == torch.float32


def small_pool_bytes(config: EngineConfig, decoder: Decoder) -> int:
    """Of the pool over which is measured."""
    _, num_pages = largest_step(config, decoder.spec)
    return make_device_pool(config, as_loaded(decoder), num_pages, LazyDevice()).num_bytes


def test_what_a_step_and_the_pieces_take_is_measured(decoder: Decoder) -> None:
    # Asked before anything, after the step, before and after the largest pieces.
    device = ScriptedDevice(900, 820, 840, 833)
    model = replace(as_loaded(decoder), num_bytes=5 * MIB)
    config = config_for(cuda_graph_max_tokens=20)
    measured = measure_memory(config, model, device)
    assert measured.total_bytes == 1000 * MIB
    assert measured.free_bytes == 900 * MIB
    assert measured.weights_bytes == 5 * MIB
    assert measured.activation_bytes == 80 * MIB - small_pool_bytes(config, decoder)
    assert measured.graph_bytes == 2 * 7 * MIB, "buckets of 16 and 32 tokens"
    assert device.num_captures == decoder.spec.num_layers + 1
    graphs = ["release", "memory", "release", "memory"]
    assert device.calls == ["release", "memory", "memory", *graphs, "forget", "release"]


def test_ranks_measure_their_shares_together(decoder: Decoder) -> None:
    config = config_for(cuda_graph_max_tokens=16)

    def work(rank: int, groups: RankGroups) -> tuple[int, int]:
        share = ModelShare.of(RankLayout(2), rank, decoder.spec.num_layers, groups.stage)
        device = ScriptedDevice(900, 820 - rank, 840, 833)
        model = as_loaded(Decoder(decoder.spec, share=share))
        measured = measure_memory(config, model, device)
        _, num_pages = largest_step(config, decoder.spec)
        pool = make_device_pool(config, model, num_pages, device)
        assert pool.num_bytes < small_pool_bytes(config, decoder), "of one rank's heads"
        return measured.activation_bytes + pool.num_bytes, measured.graph_bytes

    assert run_ranks(RankLayout(2), work) == [(80 * MIB, 7 * MIB), (81 * MIB, 7 * MIB)]


def test_memory_that_comes_back_while_measuring_counts_as_none(decoder: Decoder) -> None:
    device = ScriptedDevice(900, 910, 880, 890)
    measured = measure_memory(config_for(cuda_graph_max_tokens=16), as_loaded(decoder), device)
    assert measured.activation_bytes == 0
    assert measured.graph_bytes == 0


@pytest.mark.parametrize(
    ("graph_sizes", "tokens_in_pieces", "free_mib", "taken_mib"),
    [
        ([], 0, [500], 0),
        ([4], 0, [500, 480], 20),
        # The largest takes the tensors of all; each further one as much as the second.
        ([1, 2, 4], 0, [500, 480, 477], 20 + 2 * 3),
        ([1, 2, 4], 32, [500, 480, 477, 472], 20 + 2 * 3 + 2 * 5),
    ],
)
def test_all_graphs_are_reckoned_from_the_largest(
    decoder: Decoder,
    graph_sizes: list[int],
    tokens_in_pieces: int,
    free_mib: list[int],
    taken_mib: int,
) -> None:
    device = ScriptedDevice(*free_mib)
    executor = make_device_executor(
        decoder,
        32,
        graph_sizes=graph_sizes,
        tokens_in_pieces=tokens_in_pieces,
        device=device,
        **SIZES,
    )
    assert device_assembly._measure_graphs(executor, device) == taken_mib * MIB
    assert sorted(executor.graphs._captured) == graph_sizes[-2:]
    if executor.pieces is not None:
        assert list(executor.pieces._graphs) == [32]
    device.release()  # asserts that every answer was asked for


def drive(driver: Driver) -> dict[str, list[int]]:
    for number, prompt in enumerate(PROMPTS):
        driver.add(f"r{number}", prompt, max_new_tokens=5)
    driver.run()
    return driver.outputs


@pytest.mark.parametrize("capture", ["start", "lazy"])
def test_an_engine_on_a_device_answers_as_the_host(decoder: Decoder, capture: str) -> None:
    """Attention is torch's there, so decode steps are not captured; pieces are."""
    expected = drive(Driver.make(decoder, context_length=64, page_size=4))
    device = LazyDevice()
    config = config_for(
        max_in_flight=2,
        cuda_graph_max_bs=4,
        cuda_graph_max_tokens=16,
        cuda_graph_capture=capture,
    )
    engine = build_engine(
        config,
        as_loaded(decoder),
        64,
        make_checker=lambda _: None,
        events=EventStream(),
        device=device,
    )
    executor = engine.executor
    assert isinstance(executor, DeviceExecutor)
    assert executor.graphs.sizes == []
    assert executor.pieces is not None
    assert executor.pieces.buckets == (16,)
    assert device.num_captures == (decoder.spec.num_layers + 1 if capture == "start" else 0)
    assert drive(Driver(engine)) == expected
    assert device.num_captures == decoder.spec.num_layers + 1
    assert device.num_replays > 0


def test_memory_that_runs_out_later_is_explained_by_the_caller(decoder: Decoder) -> None:
    config, model = config_for(), as_loaded(decoder)
    device = LazyDevice()
    pool = make_device_pool(config, model, 16, device)
    executor = device_assembly.make_device_executor(
        config, model, pool, device, explain_out_of_memory=lambda error: f"lower it: {error}"
    )
    device.run = FullDevice("run").run  # type: ignore[method-assign]
    with pytest.raises(MemoryError, match="lower it: CUDA out of memory"):
        executor.launch(largest_step(config, decoder.spec)[0])


def test_an_attention_backend_that_cannot_run_here_is_refused(decoder: Decoder) -> None:
    config, model = replace(config_for(), decode_attention_backend="fa3"), as_loaded(decoder)
    device = LazyDevice()
    pool = make_device_pool(config, model, 16, device)
    with pytest.raises(ConfigError, match="decode attention backend fa3 cannot run"):
        device_assembly.make_device_executor(config, model, pool, device)


@pytest.mark.parametrize(
    ("graph_sizes", "tokens_in_pieces", "count"),
    [([], 0, 0), ([1, 2, 4], 0, 3), ([], 64, 3), ([1, 2, 4], 32, 5)],
)
def test_progress_advances_once_per_graph(
    decoder: Decoder,
    monkeypatch: pytest.MonkeyPatch,
    graph_sizes: list[int],
    tokens_in_pieces: int,
    count: int,
) -> None:
    told: list[int] = []

    @contextlib.contextmanager
    def progress(total: int, *, show: bool, what: str) -> Iterator[Callable[[int], None]]:
        assert (total, show, what) == (count, True, "recording CUDA graphs")
        yield told.append

    monkeypatch.setattr(device_assembly, "load_progress", progress)
    executor = make_device_executor(
        decoder, 32, graph_sizes=graph_sizes, tokens_in_pieces=tokens_in_pieces, **SIZES
    )
    capture_graphs(executor, show_progress=True)
    assert told == [1] * count


def estimate_of(decoder: Decoder) -> MemoryPlan:
    return plan_memory(
        decoder.spec,
        context_length=48,
        concurrency=4,
        dtype=torch.float32,
        page_size=4,
        device="cuda:0",
        facts=MemoryFacts(1000 * MIB, 990 * MIB, "device"),
    )


@pytest.mark.parametrize("at", ["run", "capture"])
def test_running_out_of_memory_while_measuring_says_what_to_change(
    decoder: Decoder, at: str
) -> None:
    config = config_for(cuda_graph_max_tokens=16)
    with pytest.raises(ConfigError, match=r"cuda:0 is out of memory: 300.* more were wanted"):
        plan_on_device(config, as_loaded(decoder), FullDevice(at), estimate_of(decoder))


def test_the_plan_follows_what_was_measured(decoder: Decoder) -> None:
    model = replace(as_loaded(decoder), num_bytes=5 * MIB)
    device = ScriptedDevice(900, 820, 840, 833)
    config = config_for(cuda_graph_max_tokens=16)
    plan = plan_on_device(config, model, device, estimate_of(decoder))
    assert plan.is_measured
    assert plan.available_bytes == 905 * MIB
    assert plan.activation_bytes == 80 * MIB - small_pool_bytes(config, decoder)
    assert plan.graph_bytes == 7 * MIB
