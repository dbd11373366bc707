"""Every number is what happened, under SGLang's name, and no client can add labels."""

from __future__ import annotations

import re
from collections import Counter

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sglite.request import FinishReason
from sglite.server.telemetry.metric_table import METRICS
from sglite.server.telemetry.metrics import Histogram, RateWindow, ServerMetrics
from tests.server.generations import generation

SGLANG = """
num_running_reqs num_queue_reqs num_used_tokens kv_used_tokens token_usage gen_throughput
cache_hit_rate max_total_num_tokens num_retracted_reqs prompt_tokens_total generation_tokens_total
cached_tokens_total num_requests_total num_aborted_requests_total time_to_first_token_seconds
inter_token_latency_seconds e2e_request_latency_seconds queue_time_seconds http_requests_total
http_responses_total evicted_tokens_total""".split()

STATS = {
    "num_running_requests": 3,
    "num_waiting_requests": 2,
    "num_prompt_tokens": 100,
    "num_cached_tokens": 25,
    "cache_num_total_tokens": 1000,
    "cache_num_free_tokens": 600,
    "cache_num_evictable_tokens": 150,
    "cache_num_evicted_tokens": 64,
}


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> ServerMetrics:
    return ServerMetrics("tiny", ["/generate", "/v1/models/{model_id}"], clock=clock)


def samples(metrics: ServerMetrics) -> dict[tuple[str, ...], float]:
    """``(name, label values beside the model's) -> value`` of what Prometheus would read."""
    read = {}
    for family in text_string_to_metric_families(metrics.to_prometheus().decode()):
        for sample in family.samples:
            labels = dict(sample.labels)
            if not sample.name.startswith(("process_",)):
                assert labels.pop("model_name") == "tiny"
            read[(sample.name, *labels.values())] = sample.value
    return read


def test_a_finished_request_is_counted_under_sglangs_names(metrics):
    metrics.request_finished(generation())
    metrics.request_finished(generation(num_cached_tokens=0, finish_reason=FinishReason.ABORT))
    read = samples(metrics)
    assert read["sglang:num_requests_total",] == 2
    assert read["sglang:num_aborted_requests_total",] == 1
    assert read["sglite:requests_finished_total", "stop"] == 1
    assert read["sglang:prompt_tokens_total",] == 16
    assert read["sglang:cached_tokens_total",] == 4
    assert read["sglang:generation_tokens_total",] == 10
    assert read["sglite:prefix_hits_total",] == read["sglite:prefix_misses_total",] == 1
    assert read["sglang:time_to_first_token_seconds_count",] == 2
    assert read["sglang:time_to_first_token_seconds_sum",] == pytest.approx(0.2)
    assert read["sglang:time_to_first_token_seconds_bucket", "0.05"] == 0
    assert read["sglang:time_to_first_token_seconds_bucket", "0.1"] == 2
    assert read["sglang:e2e_request_latency_seconds_count",] == 2
    assert read["sglang:queue_time_seconds_bucket", "+Inf"] == 2


def test_a_request_that_never_ran_has_no_latencies_and_no_cache_result(metrics):
    metrics.request_finished(generation(queue_s=None, ttft_s=None, num_cached_tokens=0))
    read = samples(metrics)
    assert read["sglang:num_requests_total",] == 1
    assert read["sglang:queue_time_seconds_count",] == 0
    assert read["sglang:time_to_first_token_seconds_count",] == 0
    assert read["sglite:prefix_misses_total",] == 0


def test_paths_of_clients_never_become_labels(metrics):
    for path in ("/generate", "/../etc", None, "", "/v1/models/{model_id}", "/x\ny 1"):
        metrics.http_request(path)
        metrics.http_response(path, 200)
    for status in (99, 404, 429, 503, 799):
        metrics.http_response("/generate", status)
    read = samples(metrics)
    endpoints = {key[1] for key in read if key[0].startswith("sglang:http_")}
    assert endpoints == {"/generate", "/v1/models/{model_id}", "other"}
    assert read["sglang:http_requests_total", "other"] == 4
    assert read["sglang:http_responses_total", "/generate", "4xx"] == 2
    assert read["sglang:http_responses_total", "/generate", "5xx"] == 2


def test_tokens_of_one_chunk_share_its_gap(metrics):
    metrics.tokens_arrived(1, None)
    metrics.tokens_arrived(4, 0.02)
    read = samples(metrics)
    assert read["sglang:inter_token_latency_seconds_count",] == 4
    assert read["sglang:inter_token_latency_seconds_sum",] == pytest.approx(0.02)
    assert read["sglang:inter_token_latency_seconds_bucket", "0.004"] == 0
    assert read["sglang:inter_token_latency_seconds_bucket", "0.006"] == 4


def test_engine_numbers_are_those_of_the_last_answer(metrics, clock):
    metrics.engine_state(STATS, loop_age_s=0.25)
    read = samples(metrics)
    assert read["sglang:num_running_reqs",] == 3
    assert read["sglang:num_queue_reqs",] == 2
    assert read["sglang:max_total_num_tokens",] == 1000
    assert read["sglang:num_used_tokens",] == read["sglang:kv_used_tokens",] == 250
    assert read["sglang:token_usage",] == 0.25
    assert read["sglang:cache_hit_rate",] == 0.25
    assert read["sglang:evicted_tokens_total",] == 64
    assert read["sglite:engine_loop_age_seconds",] == 0.25
    metrics.engine_state(None)
    assert samples(metrics)["sglang:num_running_reqs",] == 3, "a silent engine changes nothing"


def test_numbers_of_several_processes_add_up(metrics, clock):
    other = ServerMetrics("tiny", ["/generate", "/v1/models/{model_id}"], clock=clock)
    for each, count in ((metrics, 50), (other, 30)):
        each.tokens_arrived(count, 0.02)
        each.http_request("/generate")
        each.http_response("/generate", 200)
    other.http_response("/generate", 404)
    clock.now_s += 1
    snapshots = [
        msgspec.msgpack.decode(msgspec.msgpack.encode(each.snapshot())) for each in (metrics, other)
    ]
    read = samples(metrics.sum_of(snapshots))
    assert read["sglang:gen_throughput",] == 8
    assert read["sglang:http_requests_total", "/generate"] == 2
    assert read["sglang:http_responses_total", "/generate", "2xx"] == 2
    assert read["sglang:http_responses_total", "/generate", "4xx"] == 1
    assert read["sglang:inter_token_latency_seconds_count",] == 80
    assert read["sglang:inter_token_latency_seconds_sum",] == pytest.approx(0.04)
    assert samples(metrics)["sglang:inter_token_latency_seconds_count",] == 50


def test_every_metric_is_declared_once_and_shown_with_help_and_type(metrics):
    names = Counter(metric.name for metric in METRICS)
    assert set(names.values()) == {1}
    assert {f"sglang:{name}" for name in SGLANG} <= set(names)
    text = metrics.to_prometheus().decode()
    for metric in METRICS:
        assert f"# TYPE {metric.name} {metric.kind}\n" in text
        assert re.search(rf"^# HELP {metric.name} \w", text, re.MULTILINE)
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert "_created" not in text


def test_flat_form_has_numbers_alone(metrics):
    metrics.request_finished(generation())
    metrics.http_response("/generate", 200)
    flat = metrics.to_dict()
    assert flat["prompt_tokens_total"] == 8
    assert flat["e2e_request_latency_seconds_count"] == 1
    assert flat["e2e_request_latency_seconds_sum"] == 0.5
    assert "http_responses_total" not in flat
    assert all(isinstance(value, float | int) for value in flat.values())


def test_a_value_on_a_bound_belongs_below_it():
    histogram = Histogram((1.0, 2.0))
    for value in (1.0, 1.5, 2.0, 3.0):
        histogram.observe(value)
    assert histogram.cumulative() == [("1.0", 1), ("2.0", 3), ("+Inf", 4)]


def test_rate_counts_whole_seconds_and_forgets_old_ones():
    window = RateWindow(10)
    window.add(30, 100.2)
    assert window.per_second(100.9) == 0, "the second has just begun"
    window.add(70, 101.0)
    assert window.per_second(101.5) == 3
    assert window.per_second(110.0) == 10
    assert window.per_second(111.0) == 7
    assert window.per_second(1e6) == 0
