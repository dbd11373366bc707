"""The floors against figures worked out by hand: the 0.6B shape, 36 GB/s, 415 and 830 GFLOP/s."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sglite.bench.suite.floors import Floor, Span, Storage, spans_of, storage_of
from sglite.bench.suite.machine import Rates
from sglite.bench.suite.workloads import WORKLOADS, Ask
from sglite.models.spec import DecoderSpec, RopeSpec

SHAPE = DecoderSpec(
    architecture="Qwen3ForCausalLM",
    vocab_size=151936,
    hidden_size=1024,
    num_layers=28,
    num_attention_heads=16,
    num_kv_heads=8,
    head_dim=128,
    intermediate_size=3072,
    rms_norm_eps=1e-6,
    rope=RopeSpec(),
    context_length=40960,
    attention_scale=128**-0.5,
    sliding_windows=(None,) * 28,
    tie_word_embeddings=True,
)
RATES = Rates(read_bytes_per_s=36e9, flop_per_s=415e9, int8_ops_per_s=830e9)


INT8_BODY = Storage(body_bytes=1, head_bytes=2, kv_bytes=2)


def floor(storage=None, spec=SHAPE, rates=RATES, num_bytes=2):
    return Floor(spec, storage or storage_of(num_bytes), rates)


def test_weights_of_the_model():
    assert (floor().body_params, floor().head_params) == (440_401_920, 155_582_464)
    assert floor().weight_bytes == pytest.approx(1191.97e6, rel=1e-5)
    assert floor(num_bytes=4).weight_bytes == 2 * floor().weight_bytes


@pytest.mark.parametrize(
    ("storage", "tokens_per_s"),
    [
        (storage_of(2), 29.65),
        (INT8_BODY, 46.54),
        (storage_of(2, "int8"), 58.25),
        (storage_of(2, "int4", 32), 84.64),
    ],
)
def test_decode_reads_the_weights_and_the_kv(storage, tokens_per_s):
    # 1192 MB of weights and 192 tokens of 114,688 bytes: 36e9 / 1214e6 = 29.65 tok/s.
    seconds = floor(storage).headline_s(WORKLOADS["W1"])
    assert 1 / seconds == pytest.approx(tokens_per_s, rel=1e-3)


def test_first_token_of_a_short_prompt():
    assert floor().first_token_s(128) == pytest.approx(0.277, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "bf16_s", "int8_s"),
    [("W2", 31.6, 18.8), ("W3", 7.7, 4.8), ("W4", 5.5, 3.3), ("W7", 19.5, 13.5)],
)
def test_batches(name, bf16_s, int8_s):
    assert floor().headline_s(WORKLOADS[name]) == pytest.approx(bf16_s, abs=0.05)
    assert floor(INT8_BODY).headline_s(WORKLOADS[name]) == pytest.approx(int8_s, abs=0.05)


def test_a_head_of_8_bits_is_multiplied_as_such():
    less_s = 0.84e12 / 415e9 - 0.84e12 / 830e9
    assert floor(storage_of(2, "int8")).headline_s(WORKLOADS["W2"]) == pytest.approx(
        18.76 - less_s, abs=0.02
    )
    unknown = replace(RATES, int8_ops_per_s=None)
    assert floor(INT8_BODY, rates=unknown).first_token_s(128) == floor().first_token_s(128)
    slow = replace(RATES, int8_ops_per_s=6e9)
    assert floor(INT8_BODY, rates=slow).first_token_s(128) == floor().first_token_s(128)


def test_decode_kv_counts_where_reading_takes_longer_than_attention():
    # 31.6 s has 2.96 s of reading KV; with memory that costs nothing 0.51 s of arithmetic are left.
    fast = replace(RATES, read_bytes_per_s=1e15)
    assert floor(rates=fast).headline_s(WORKLOADS["W2"]) == pytest.approx(29.16, abs=0.01)


def test_a_prefix_that_is_not_shared_costs_its_computation():
    turns = WORKLOADS["W3"].write(0, 1)
    assert floor().turns_s(turns) == pytest.approx(65.45, abs=0.01)
    assert floor().turns_s(turns, num_shared=768) == pytest.approx(7.73, abs=0.01)


def test_chats_read_the_weights_at_each_step():
    seconds = floor().headline_s(WORKLOADS["W6"])
    weights_s = 4 * 63 * 1191.97e6 / 36e9
    assert weights_s < 0.55 * seconds
    faster = floor(rates=replace(RATES, flop_per_s=1e15)).headline_s(WORKLOADS["W6"])
    assert weights_s < faster < 1.4 * weights_s, "what is left is reading KV"


def test_a_turn_computes_what_the_one_before_has_not():
    turns = [[Ask([0] * 10, 3), Ask([0] * 12, 2)], [Ask([0] * 4, 1), Ask([0] * 5, 2)]]
    assert spans_of(turns, 8) == [
        [Span(0, 10, 3), Span(8, 12, 2)],
        [Span(12, 17, 1), Span(13, 19, 2)],
    ]


def test_a_window_bounds_what_is_read():
    windowed = replace(SHAPE, sliding_windows=(None,) * 14 + (64,) * 14)
    full_kv = floor()._kv_read([1000, 200], 100)
    assert full_kv == 114_688 * (100 + 900 + 100)
    half = floor(spec=windowed)._kv_read([1000, 200], 100)
    assert half == 114_688 / 2 * (100 + 900 + 100) + 114_688 / 2 * (64 + 64)
    # The shared start is read once, as far as a window still shows it.
    assert floor(spec=windowed)._kv_read([110, 120], 100) == 114_688 / 2 * (
        (100 + 10 + 20) + (54 + 10 + 20)
    )


def test_where_nothing_is_known_nothing_is_said():
    tiny = replace(SHAPE, vocab_size=4096, num_layers=2, sliding_windows=(None,) * 2)
    assert floor(spec=tiny).headline_s(WORKLOADS["W1"]) is None, "it fits into the cache"
    assert floor().headline_s(WORKLOADS["W0"]) is None


def test_shrunken_workloads_have_shrunken_floors():
    small = floor().headline_s(WORKLOADS["W3"], 8)
    assert 0 < small < floor().headline_s(WORKLOADS["W3"]) / 4
