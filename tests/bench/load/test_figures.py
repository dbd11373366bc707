"""The summary is what the definitions say, for values that can be checked by hand."""

from __future__ import annotations

import pytest

from sglite.bench.load.figures import CallResult, keeps, percentile, spread_ms, summarise, values_s


def call(started_s=0.0, first_s=0.1, ended_s=0.5, num_tokens=5, **more):
    values = {"num_prompt_tokens": 10, "num_cached_tokens": 4, "gaps_s": [0.1] * (num_tokens - 1)}
    return CallResult(started_s, ended_s, first_s, num_tokens=num_tokens, **values | more)


def test_latencies_of_a_call():
    one = call(started_s=1.0, first_s=1.1, ended_s=1.5)
    assert one.ttft_s == pytest.approx(0.1)
    assert one.e2e_s == pytest.approx(0.5)
    assert one.tpot_s == pytest.approx(0.1)
    assert call(num_tokens=1).tpot_s is None
    assert call(first_s=None).ttft_s is None


def test_percentiles_interpolate():
    values = [float(value) for value in range(11)]
    assert [percentile(values, share) for share in (0, 0.5, 0.9, 0.99, 1)] == pytest.approx(
        [0, 5, 9, 9.9, 10]
    )
    assert percentile([3.0], 0.99) == 3
    spread = spread_ms([0.004, 0.001, 0.001])
    assert (spread.mean, spread.median, spread.max) == pytest.approx((2.0, 1.0, 4.0))
    assert spread_ms([]) is None


def test_failed_calls_count_and_measure_nothing():
    calls = [call(), call(started_s=1.0, first_s=1.3, ended_s=2.0), call(error="no room")]
    summary = summarise(calls, {})
    assert (summary.num_requests, summary.num_failed) == (3, 1)
    assert summary.errors == {"no room": 1}
    assert summary.duration_s == 2.0
    assert summary.requests_per_s == 1.0
    assert summary.num_output_tokens == 10
    assert summary.output_tokens_per_s == 5.0
    assert summary.total_tokens_per_s == 15.0
    assert summary.num_cached_tokens == 8
    assert summary.concurrency == pytest.approx(0.75)
    assert summary.goodput_per_s is None
    assert summary.latencies_ms["ttft"].max == pytest.approx(300)
    assert len(values_s(calls, "itl")) == 8
    assert values_s(calls, "e2e") == pytest.approx([0.5, 1.0])


def test_goodput_counts_calls_that_keep_every_goal():
    calls = [call(), call(first_s=0.3), call(ended_s=2.0), call(error="x")]
    goals = {"ttft": 200.0, "tpot": 150.0}
    assert [keeps(each, goals) for each in calls[:3]] == [True, False, False]
    summary = summarise(calls, goals)
    assert summary.goodput_per_s == pytest.approx(0.5)
    assert summary.good_share == 0.25, "a failed call is no good one"
    assert keeps(call(num_tokens=1), {"tpot": 0.001}), "there was no second token"


def test_nothing_measured_is_shown_as_nothing():
    summary = summarise([], {"ttft": 1.0})
    assert summary.requests_per_s == 0
    assert summary.latencies_ms["e2e"] is None
