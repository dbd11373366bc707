from __future__ import annotations

import pytest

from sglite.bench.gpu_suite.roofline import (
    NOMINAL,
    Rates,
    decode_step_s,
    prefill_s,
    workload_s,
)
from sglite.bench.gpu_suite.shapes import QWEN3_06B, QWEN3_14B, tiny
from sglite.bench.gpu_suite.workload import Ask, random_batch


def test_limits_of_the_workload_on_an_h200():
    asks = random_batch(256, 100, 1024, vocab=151_936)
    tokens = sum(ask.num_new_tokens for ask in asks)
    assert tokens / workload_s(QWEN3_06B, asks, NOMINAL) == pytest.approx(36_200, rel=0.01)
    assert tokens / workload_s(QWEN3_14B, asks, NOMINAL) == pytest.approx(8_070, rel=0.01)


def test_one_stream_reads_all_weights():
    assert 1 / decode_step_s(QWEN3_06B, [1], NOMINAL) == pytest.approx(3_607, rel=0.01)
    rates = Rates(1.0, float("inf"))
    assert decode_step_s(QWEN3_06B, [1], rates) == QWEN3_06B.num_bytes + QWEN3_06B.kv_bytes


def test_batches_of_prompts_read_the_weights_once_each():
    shape, rates = tiny("qwen3"), Rates(1.0, float("inf"))
    weights = 2 * (shape.body_parameters + shape.head_parameters)
    for lengths, batches in (([10], 1), ([8000, 8000], 1), ([8000, 8000, 8000], 2), ([], 0)):
        expected = batches * weights + 2 * sum(lengths) * shape.kv_bytes
        assert prefill_s(shape, lengths, rates) == expected


def test_requests_that_ended_cost_nothing():
    shape = tiny("qwen3")
    together = workload_s(shape, [Ask([1], 3), Ask([1], 1)], NOMINAL)
    steps = decode_step_s(shape, [2], NOMINAL) + decode_step_s(shape, [3], NOMINAL)
    assert together == pytest.approx(prefill_s(shape, [1, 1], NOMINAL) + steps)
