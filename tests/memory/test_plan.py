import re

import pytest
import torch

from sglite.errors import ConfigError
from sglite.make_model.presets import preset_config
from sglite.memory.facts import MemoryFacts
from sglite.memory.plan import activation_bytes, kv_bytes_per_token, plan_memory
from sglite.models.hf_config import HFConfig
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


def test_too_many_tokens_are_refused_with_the_number_that_fits():
    with pytest.raises(ConfigError, match="max_total_tokens 1,000,000 needs") as caught:
        plan(max_total_tokens=1_000_000)
    fits = int(re.search(r"Lower it to ([\d,]+)", str(caught.value))[1].replace(",", ""))
    assert plan(max_total_tokens=fits).num_tokens == fits
    with pytest.raises(ConfigError):
        plan(max_total_tokens=fits + 16)


def test_types_count_separately():
    wide = plan(dtype=torch.float32, kv_dtype=torch.bfloat16)
    assert wide.weights_bytes == 2 * plan().weights_bytes
    assert wide.kv_bytes_per_token == KV_BYTES_PER_TOKEN
    assert (wide.dtype, wide.kv_dtype) == ("float32", "bfloat16")
    assert kv_bytes_per_token(SPEC, torch.float32) == 2 * KV_BYTES_PER_TOKEN


def test_ranks_share_weights_and_heads():
    assert plan(tp_size=2).weights_bytes == plan().weights_bytes // 2
    assert plan(tp_size=2).kv_bytes_per_token == KV_BYTES_PER_TOKEN // 2
    assert kv_bytes_per_token(SPEC, torch.bfloat16, tp_size=16) == KV_BYTES_PER_TOKEN // 8


def test_weights_that_are_loaded_already_are_not_counted_twice():
    before = plan(concurrency=1000)
    after = plan(16 * GIB - before.weights_bytes, concurrency=1000, weights_loaded=True)
    assert after.num_pages == before.num_pages


def test_weights_that_do_not_fit_are_refused_with_what_is_missing():
    with pytest.raises(
        ConfigError, match=r"weights need 1\.11 GiB in bfloat16.* Free 624\.\d+ MiB"
    ):
        plan(GIB // 2)


def test_no_room_for_one_page_is_refused_with_what_to_lower():
    needed = plan().weights_bytes + plan().activation_bytes
    with pytest.raises(ConfigError, match=r"one page of 16 tokens \(1\.75 MiB\) do not fit"):
        plan(needed + 1000)
    with pytest.raises(ConfigError, match=r"lower max_running_requests \(32\)"):
        plan(needed + 1000)


def test_a_fraction_too_small_for_one_page_is_refused_with_the_one_that_fits():
    needed = plan().weights_bytes + plan().activation_bytes
    available = needed + 10 * plan().kv_bytes_per_page
    with pytest.raises(ConfigError, match=r"mem_fraction_static 0\.05 ") as caught:
        plan(available, fraction=0.05)
    fits = float(re.search(r"Raise it to ([\d.]+) or more", str(caught.value))[1])
    assert plan(available, fraction=fits).num_pages == 1


def test_activations_grow_with_rows_chunk_and_context():
    def size(rows=1, tokens=64, context_length=1024):
        return activation_bytes(
            SPEC, dtype=torch.bfloat16, rows=rows, tokens=tokens, context_length=context_length
        )

    assert size(rows=256) == 256 * 151936 * 10
    assert size(tokens=2048) > size()
    assert size(context_length=32768) > size()
