"""Start-up and `sglite plan` divide the memory by the same rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from sglite.config import EngineConfig
from sglite.config_resolve import resolve
from sglite.errors import ConfigError
from sglite.hardware import GpuFacts, HardwareFacts
from sglite.host.share import HostShare
from sglite.make_model import make_model
from sglite.memory import MemoryFacts, plan_for_config
from sglite.models.loader import ModelInfo, read_model_info

GIB = 1 << 30
GPU = HardwareFacts(cuda=(GpuFacts("a GPU", 8 * GIB, (9, 0)),))


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    directory: Path = tmp_path_factory.mktemp("model") / "tiny"
    return read_model_info(make_model(directory, preset="tiny", with_tokenizer=False))


def resolved(**options: object) -> EngineConfig:
    """Options as ``resolve`` leaves them, on the CPU unless they say otherwise."""
    return resolve(EngineConfig(**{"device": "cpu", **options}), GPU)


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


def test_gpu_is_planned_with_its_graphs_and_from_its_free_memory(
    info: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = MemoryFacts(8 * GIB, 6 * GIB, "device")
    monkeypatch.setattr("sglite.memory.for_config.read_gpu_memory", lambda device: facts)
    config = resolved(device="cuda")
    plan = plan_for_config(config, info)
    assert (plan.total_bytes, plan.available_bytes) == (8 * GIB, 6 * GIB)
    assert (plan.device, plan.fraction, plan.page_size) == ("cuda:0", 0.9, 64)
    assert (plan.prefill_tokens, plan.cuda_graph_max_bs) == (8192, 256)
    assert not plan.is_measured and plan.graph_bytes > 0
    without = plan_for_config(config.replace(cuda_graph_max_bs=0, cuda_graph_max_tokens=0), info)
    assert without.graph_bytes == 0


def test_a_gpu_that_is_not_here_is_planned_from_the_facts_given(info: ModelInfo) -> None:
    facts = MemoryFacts(GIB, GIB, "device")
    plan = plan_for_config(resolved(device="cuda"), info, facts=facts)
    assert plan.available_bytes == GIB
    assert plan_for_config(resolved(), info).cuda_graph_max_bs == 0


def test_the_plan_is_of_the_rank_with_least_room(info: ModelInfo) -> None:
    facts = MemoryFacts(GIB, GIB)
    plans = [
        plan_for_config(resolved(dtype="float32", **sizes), info, facts=facts)
        for sizes in ({}, {"tp_size": 2}, {"pp_size": 2})
    ]
    whole, half, stage = plans
    assert whole.kv_bytes_per_token == 2 * half.kv_bytes_per_token == 2 * stage.kv_bytes_per_token
    assert half.weights_bytes < 0.55 * whole.weights_bytes
    # A tied embedding is in both stages, the last norm in the second.
    spec = info.spec
    vocab, norm = 4 * spec.vocab_size * spec.hidden_size, 4 * spec.hidden_size
    assert spec.tie_word_embeddings
    assert stage.weights_bytes == (whole.weights_bytes - vocab - norm) // 2 + vocab + norm


def test_ranks_that_do_not_fit_the_model_are_refused_by_name(info: ModelInfo) -> None:
    with pytest.raises(ConfigError, match=r"tp_size 3 is not a multiple of num_key_value_heads"):
        plan_for_config(resolved(tp_size=3), info)
    with pytest.raises(ConfigError, match=r"pp_size 64 is more than the model's 4 layers"):
        plan_for_config(resolved(pp_size=64), info)


def test_processes_of_one_host_share_its_memory_and_not_a_gpu_s(info: ModelInfo) -> None:
    facts, share = MemoryFacts(8 * GIB, 4 * GIB), HostShare(1, 4)
    plan = plan_for_config(resolved(), info, facts=facts, host_share=share)
    assert (plan.total_bytes, plan.available_bytes) == (8 * GIB, GIB)
    on_gpu = plan_for_config(resolved(device="cuda"), info, facts=facts, host_share=share)
    assert on_gpu.available_bytes == 4 * GIB
    alone = HostShare(1, 4, num_settled=3)
    plan = plan_for_config(resolved(), info, facts=facts, host_share=alone)
    assert plan.available_bytes == 4 * GIB


def test_lanes_share_requests_and_tokens(info: ModelInfo) -> None:
    lanes = {"tp_size": 2, "dp_size": 2, "enable_dp_attention": True}
    whole, lane = (
        plan_for_config(resolved(max_running_requests=5, max_total_tokens=640, **sizes), info)
        for sizes in ({}, lanes)
    )
    assert (lane.num_tokens, lane.max_running_requests) == (320, 3)
    assert 2 * lane.kv_bytes == whole.kv_bytes
