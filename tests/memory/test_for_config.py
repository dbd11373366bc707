"""Start-up and `sglite plan` divide the memory by the same rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from sglite.config import EngineConfig
from sglite.errors import ConfigError
from sglite.make_model import make_model
from sglite.memory import plan_for_config
from sglite.models.loader import ModelInfo, read_model_info


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    directory: Path = tmp_path_factory.mktemp("model") / "tiny"
    return read_model_info(make_model(directory, preset="tiny", with_tokenizer=False))


def resolved(**options: object) -> EngineConfig:
    return EngineConfig(**{"device": "cpu", "mem_fraction_static": 0.5, **options})


def test_context_is_the_model_s_unless_asked_otherwise(info: ModelInfo) -> None:
    assert plan_for_config(resolved(), info).context_length == info.spec.context_length
    assert plan_for_config(resolved(context_length=64), info).context_length == 64


def test_more_context_than_the_model_s_is_refused_with_both_numbers(info: ModelInfo) -> None:
    most = info.spec.context_length
    with pytest.raises(ConfigError, match=f"{most + 1:,}.*{most:,}"):
        plan_for_config(resolved(context_length=most + 1), info)


def test_pool_is_as_large_as_asked(info: ModelInfo) -> None:
    plan = plan_for_config(resolved(max_total_tokens=640, page_size=32), info)
    assert (plan.num_pages, plan.num_tokens) == (20, 640)


def test_quantised_weights_leave_more(info: ModelInfo) -> None:
    sizes = [
        plan_for_config(resolved(**options), info).weights_bytes
        for options in (
            {},
            {"quantization": "int8"},
            {"quantization": "int4", "quantization_group_size": 64},
        )
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_kv_of_8_bits_takes_less_per_token(info: ModelInfo) -> None:
    plans = {
        name: plan_for_config(resolved(dtype="float32", kv_cache_dtype=name), info)
        for name in ("auto", "float32", "bfloat16", "int8", "fp8_e4m3")
    }
    sizes = {name: plan.kv_bytes_per_token for name, plan in plans.items()}
    dim = info.spec.head_dim
    assert sizes["auto"] == sizes["float32"] == 2 * sizes["bfloat16"] == 4 * sizes["fp8_e4m3"]
    assert sizes["int8"] * dim == sizes["fp8_e4m3"] * (dim + 4)
    assert {name: plan.kv_dtype for name, plan in plans.items()} == {
        **{name: name for name in plans},
        "auto": "float32",
    }


def test_larger_chunks_plan_for_more_activations(info: ModelInfo) -> None:
    small = plan_for_config(resolved(chunked_prefill_size=16), info)
    unlimited = plan_for_config(resolved(chunked_prefill_size=-1), info)
    assert small.activation_bytes < unlimited.activation_bytes


def test_pool_never_exceeds_what_all_rows_could_use(info: ModelInfo) -> None:
    plan = plan_for_config(resolved(max_running_requests=2, context_length=100), info)
    assert plan.num_tokens == 208  # 200 in whole pages
