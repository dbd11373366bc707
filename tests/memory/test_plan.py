import torch

from sglite.distributed.layout import RankLayout
from sglite.make_model.presets import preset_config
from sglite.memory.facts import MemoryFacts
from sglite.memory.plan import (
    MeasuredMemory,
    graph_bytes,
    kv_bytes_per_token,
    plan_measured,
    plan_memory,
    prefill_bytes,
    sampling_bytes,
)
from sglite.models.hf_config import HFConfig
from sglite.models.layers.parallel import ModelShare
from sglite.models.quantization import Quantization
from sglite.models.registry import spec_from_hf

GIB = 1 << 30
SPEC = spec_from_hf(HFConfig.from_dict(preset_config("qwen3", "0.6b", {})))
KV_BYTES_PER_TOKEN = 28 * 2 * 8 * 128 * 2


def plan(available=16 * GIB, **options):
    options = {"context_length": 4096, "concurrency": 32, **options}
    return plan_memory(SPEC, facts=MemoryFacts(32 * GIB, int(available)), **options)


def test_the_figures_of_a_known_model():
    planned = plan()
    assert planned.weights_bytes == 2 * 596_049_920
    assert planned.kv_bytes_per_token == KV_BYTES_PER_TOKEN == 114_688
    assert planned.kv_bytes_per_page == 16 * KV_BYTES_PER_TOKEN


def test_quantised_weights_count_at_their_bits():
    vocab, norms = 151_936 * 1024, 28 * (2 * 1024 + 2 * 128) + 1024
    layers = 596_049_920 - vocab - norms
    # A scale of float32 per output or of bfloat16 per group; the rest is padding to whole lines.
    eight, four = (plan(quantization=Quantization.of(name, 32)) for name in ("int8", "int4"))
    assert vocab + layers < eight.weights_bytes < 1.005 * (vocab + layers) + 4 * norms
    assert 1.0 <= (four.weights_bytes - vocab - 4 * norms) / (layers * 4.5 / 8) < 1.005
    assert (eight.weights_dtype, four.weights_dtype) == ("int8", "int4")
    assert plan().weights_dtype == "bfloat16"
    assert four.kv_bytes_per_token == plan().kv_bytes_per_token


def test_the_pool_is_the_fraction_of_what_is_left():
    planned = plan(concurrency=1000, fraction=0.25)
    left = 16 * GIB - planned.weights_bytes - planned.activation_bytes
    assert planned.left_bytes == left
    assert planned.num_pages == int(left * 0.25) // planned.kv_bytes_per_page
    assert planned.bound_by == "memory"
    assert planned.expected_concurrency == planned.num_tokens / 4096
    assert planned.tokens_per_request == planned.num_tokens // 1000


def test_no_more_than_all_requests_can_use():
    planned = plan(concurrency=2, context_length=1000)
    assert planned.num_tokens == 2000
    assert planned.bound_by == "max_running_requests"
    assert planned.expected_concurrency == 2
    assert planned.tokens_per_request == 1000


def test_defaults_are_the_models_context_and_the_devices_fraction():
    planned = plan_memory(SPEC, facts=MemoryFacts(32 * GIB, 16 * GIB))
    assert planned.context_length == 40960
    assert planned.fraction == 0.5
    assert plan(device="cuda").fraction == 0.9
    assert plan(fraction=0.3).fraction == 0.3


def test_a_number_of_tokens_is_taken_as_given():
    planned = plan(max_total_tokens=1001)
    assert planned.num_pages == 63
    assert planned.bound_by == "max_total_tokens"


def test_types_count_separately():
    wide = plan(dtype=torch.float32, kv_dtype=torch.bfloat16)
    assert wide.weights_bytes == 2 * plan().weights_bytes
    assert wide.kv_bytes_per_token == KV_BYTES_PER_TOKEN
    assert (wide.dtype, wide.kv_dtype) == ("float32", "bfloat16")
    assert kv_bytes_per_token(SPEC, torch.float32) == 2 * KV_BYTES_PER_TOKEN


def share_of(rank=0, **sizes):
    return ModelShare.of(RankLayout(**sizes), rank, SPEC.num_layers)


def test_ranks_share_weights_and_heads():
    half = plan(share=share_of(tp_size=2))
    norms = 28 * (2 * 1024 + 2 * 128) + 1024
    assert half.weights_bytes == plan().weights_bytes // 2 + norms
    assert half.kv_bytes_per_token == KV_BYTES_PER_TOKEN // 2
    sixteen = share_of(tp_size=16)
    assert kv_bytes_per_token(SPEC, torch.bfloat16, sixteen) == KV_BYTES_PER_TOKEN // 8


def test_stages_share_layers_and_a_tied_embedding_is_on_both_ends():
    vocab = 2 * 151_936 * 1024
    first, middle, last = (plan(share=share_of(rank, pp_size=3)) for rank in range(3))
    # 10, 9 and 9 of 28 layers.
    layer = middle.weights_bytes // 9
    assert [first.weights_bytes, last.weights_bytes] == [
        10 * layer + vocab,
        9 * layer + vocab + 2048,
    ]
    assert 28 * layer + vocab + 2048 == plan().weights_bytes
    assert [each.kv_bytes_per_token * 28 for each in (first, middle, last)] == [
        KV_BYTES_PER_TOKEN * count for count in (10, 9, 9)
    ]


def test_lanes_share_the_mlps_alone():
    lane = plan(share=share_of(tp_size=4, num_lanes=4))
    mlps = 2 * 28 * 3 * 1024 * 3072
    assert lane.weights_bytes == plan().weights_bytes - mlps * 3 // 4
    assert lane.kv_bytes_per_token == KV_BYTES_PER_TOKEN


def test_a_rank_of_several_needs_less_for_a_chunk_and_more_to_sample():
    sizes = {"dtype": torch.bfloat16, "tokens": 512, "context_length": 1024}
    rank, lane = share_of(tp_size=4), share_of(tp_size=4, num_lanes=4)
    whole = prefill_bytes(SPEC, **sizes)
    assert whole / 4 < prefill_bytes(SPEC, share=rank, **sizes) < whole
    assert whole < prefill_bytes(SPEC, share=lane, **sizes) < 2 * whole
    assert sampling_bytes(SPEC, dtype=torch.bfloat16, rows=1, share=rank) == 151936 * 12


def test_activations_grow_with_rows_chunk_and_context():
    def chunk(tokens=64, context_length=1024):
        sizes = {"tokens": tokens, "context_length": context_length}
        return prefill_bytes(SPEC, dtype=torch.bfloat16, **sizes)

    assert sampling_bytes(SPEC, dtype=torch.bfloat16, rows=256) == 256 * 151936 * 10
    assert chunk(tokens=2048) > chunk()
    assert chunk(context_length=32768) > chunk()
    many_rows = plan(concurrency=256, prefill_tokens=64)
    assert many_rows.activation_bytes == 256 * 151936 * 10
    assert many_rows.activations_follow == "max_running_requests"
    long_chunk = plan(concurrency=1, prefill_tokens=8192)
    assert long_chunk.activation_bytes == chunk(8192, 4096)
    assert long_chunk.activations_follow == "chunked_prefill_size"


def test_graphs_hold_the_temporaries_of_the_largest():
    def size(rows=0, tokens=0):
        return graph_bytes(SPEC, dtype=torch.bfloat16, rows=rows, tokens=tokens)

    assert size() == 0 == plan().graph_bytes
    assert size(rows=8) > sampling_bytes(SPEC, dtype=torch.bfloat16, rows=8)
    assert size(tokens=16) < size(rows=256) == size(rows=256, tokens=16)
    assert plan(graph_rows=8).graph_bytes == size(rows=8)


def gpu(available=16 * GIB, **options):
    return plan(available, device="cuda:0", **{"concurrency": 1000, "fraction": 0.5, **options})


def test_on_a_gpu_the_fraction_is_of_all_memory():
    planned = gpu(20 * GIB, graph_rows=32)
    taken = planned.weights_bytes + planned.graph_bytes + planned.activation_bytes
    # 12 of 32 GiB are others' already.
    assert planned.pool_limit_bytes == 4 * GIB - taken
    assert planned.num_pages == planned.pool_limit_bytes // planned.kv_bytes_per_page
    assert planned.bound_by == "memory"


def test_on_a_gpu_a_number_of_tokens_may_exceed_the_fraction():
    full = gpu(20 * GIB)
    assert gpu(20 * GIB, max_total_tokens=full.num_tokens + 1600).bound_by == "max_total_tokens"


MEASURED = MeasuredMemory(
    total_bytes=32 * GIB,
    free_bytes=28 * GIB,
    weights_bytes=2 * GIB,
    graph_bytes=GIB // 2,
    activation_bytes=GIB,
)


def test_what_was_measured_replaces_what_was_estimated():
    planned = plan_measured(gpu(30 * GIB, fraction=0.75, graph_rows=32), MEASURED)
    assert planned.is_measured and planned.memory_bound_by == "device"
    assert (planned.weights_bytes, planned.graph_bytes) == (2 * GIB, GIB // 2)
    assert planned.activation_bytes == GIB
    assert planned.left_bytes == 28 * GIB - GIB // 2 - GIB
    # Of 32 GiB a quarter stays free; 2 GiB are the weights, 2 GiB others'.
    pool = 24 * GIB - 2 * GIB - 2 * GIB - GIB // 2 - GIB
    assert planned.pool_limit_bytes == pool
    assert planned.num_pages == pool // planned.kv_bytes_per_page


def test_options_bound_a_measured_plan_as_they_do_an_estimate():
    few = plan_measured(gpu(24 * GIB, concurrency=2, context_length=1600), MEASURED)
    assert (few.num_tokens, few.bound_by) == (3200, "max_running_requests")
    asked = plan_measured(gpu(24 * GIB, max_total_tokens=160), MEASURED)
    assert (asked.num_pages, asked.bound_by) == (10, "max_total_tokens")
