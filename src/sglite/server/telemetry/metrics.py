"""The server's metrics: plain numbers that grow, and how Prometheus reads them.

    AnswerStream ──▶ request_finished, tokens_arrived ─┐
    middleware   ──▶ http_request, http_response ──────┼──▶ ServerMetrics ──▶ GET /metrics
    engine       ──▶ engine_state (at each scrape) ────┘

Only the event loop touches them, so an observation is an addition: no lock, no object. The metrics
themselves are declared in ``metric_table``.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from sglite.generation import Generation
from sglite.request import FinishReason
from sglite.server.telemetry.metric_table import METRICS, Metric

OTHER_ENDPOINT = "other"
"""The endpoint of everything that no route answers: paths of clients never become labels."""

STATUS_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
THROUGHPUT_WINDOW_S = 10

ENGINE_METRICS = {
    "engine_running_reqs": "num_running_reqs",
    "engine_queue_reqs": "num_queue_reqs",
    "engine_finished_reqs": "finished_reqs",
    "engine_token_usage": "token_usage",
    "engine_cache_hit_rate": "cache_hit_rate",
}
"""What is told of each engine alone, by the name of the same number of all engines."""


@dataclass(slots=True)
class Histogram:
    """Counts per bucket. ``counts`` has one entry more than ``buckets``: what exceeds them all."""

    buckets: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.buckets) + 1)

    def observe(self, value: float, count: int = 1) -> None:
        """Take ``count`` observations of ``value``."""
        self.counts[bisect_left(self.buckets, value)] += count
        self.total += value * count

    def cumulative(self) -> list[tuple[str, float]]:
        """``(upper bound, observations up to it)``, as Prometheus writes a histogram."""
        seen, pairs = 0, []
        bounds = [*map(repr, self.buckets), "+Inf"]
        for bound, count in zip(bounds, self.counts, strict=True):
            seen += count
            pairs.append((bound, float(seen)))
        return pairs


class RateWindow:
    """How many per second over the last whole seconds, in a fixed number of slots."""

    def __init__(self, seconds: int) -> None:
        self._counts = [0] * (seconds + 1)
        self._newest = 0

    def add(self, count: int, now_s: float) -> None:
        """Count at this moment."""
        self._advance(int(now_s))
        self._counts[int(now_s) % len(self._counts)] += count

    def per_second(self, now_s: float) -> float:
        """The mean over the window, without the second that has begun."""
        second, size = int(now_s), len(self._counts)
        self._advance(second)
        return (sum(self._counts) - self._counts[second % size]) / (size - 1)

    def _advance(self, second: int) -> None:
        size = len(self._counts)
        for passed in range(max(self._newest + 1, second - size + 1), second + 1):
            self._counts[passed % size] = 0
        self._newest = max(self._newest, second)


class ServerMetrics(Collector):
    """All metrics of one HTTP process.

    ``endpoints`` are the templates of the routes; anything else counts as ``other``.
    """

    def __init__(
        self,
        model_name: str,
        endpoints: Collection[str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model_name = model_name
        self.registry = CollectorRegistry()
        self._endpoints = frozenset(endpoints)
        self._clock = clock
        self._values: dict[str, dict[tuple[str, ...], float]] = {
            metric.key: {} if metric.labels else {(): 0.0}
            for metric in METRICS
            if metric.kind != "histogram"
        }
        self._histograms = {
            metric.key: Histogram(metric.buckets) for metric in METRICS if metric.buckets
        }
        self._throughput = RateWindow(THROUGHPUT_WINDOW_S)
        self._inter_token = self._histograms["inter_token_latency_seconds"]
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    # -- what happens ------------------------------------------------------------------------------

    def tokens_arrived(self, count: int, gap_s: float | None) -> None:
        """``count`` tokens of a request came ``gap_s`` after the ones before them, if any."""
        self._throughput.add(count, self._clock())
        if gap_s is not None:
            self._inter_token.observe(gap_s / count, count)

    def request_finished(self, generation: Generation) -> None:
        """A request reached its end, whatever end."""
        self._add("num_requests_total")
        self._add("requests_finished_total", 1, generation.finish_reason.value)
        if generation.finish_reason is FinishReason.ABORT:
            self._add("num_aborted_requests_total")
        self._add("prompt_tokens_total", generation.num_prompt_tokens)
        self._add("cached_tokens_total", generation.num_cached_tokens)
        self._add("generation_tokens_total", generation.num_output_tokens)
        if generation.queue_s is not None:  # it was admitted: the cache was asked
            is_hit = generation.num_cached_tokens > 0
            self._add("prefix_hits_total" if is_hit else "prefix_misses_total")
            self._histograms["queue_time_seconds"].observe(generation.queue_s)
        if generation.ttft_s is not None:
            self._histograms["time_to_first_token_seconds"].observe(generation.ttft_s)
        self._histograms["e2e_request_latency_seconds"].observe(generation.e2e_s)

    def http_request(self, endpoint: str | None) -> None:
        """A request for a route; ``endpoint`` is its template, None where there is no route."""
        self._add("http_requests_total", 1, self._closed(endpoint))

    def http_response(self, endpoint: str | None, status: int) -> None:
        """A response was started. ``endpoint`` as in :meth:`http_request`."""
        class_ = STATUS_CLASSES[min(max(status // 100, 1), 5) - 1]
        self._add("http_responses_total", 1, self._closed(endpoint), class_)

    def engine_state(
        self, stats: Mapping[str, float] | None, *, loop_age_s: float | None = None
    ) -> None:
        """Take the engine's own numbers (``Engine.stats()``); None where it did not answer."""
        if loop_age_s is not None:
            self._set("engine_loop_age_seconds", loop_age_s)
        for key, value in _engine_values(stats or {}).items():
            if key in self._values:
                self._set(key, value)

    def state_of_engine(self, number: int, stats: Mapping[str, float], *, is_up: bool) -> None:
        """Take the numbers of one engine, which has gone where not ``is_up``."""
        label = str(number)
        self._set("engine_up", float(is_up), label)
        values = _engine_values(stats)
        for key, name in ENGINE_METRICS.items():
            if name in values:
                self._set(key, values[name], label)

    def requests_waiting(self, count: int) -> None:
        """So many requests of this process have no engine yet."""
        self._set("router_waiting_reqs", count)

    # -- several processes -------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """All numbers as plain data, for :meth:`sum_of` in another process."""
        self._set("gen_throughput", self._throughput.per_second(self._clock()))
        return {
            "values": {
                key: [[list(labels), value] for labels, value in values.items()]
                for key, values in self._values.items()
            },
            "histograms": {
                key: [histogram.counts, histogram.total]
                for key, histogram in self._histograms.items()
            },
        }

    def sum_of(self, snapshots: Iterable[Mapping[str, Any]]) -> ServerMetrics:
        """Metrics that show what several processes counted; the engine's numbers are not theirs."""
        whole = ServerMetrics(self.model_name, self._endpoints, clock=self._clock)
        for snapshot in snapshots:
            for key, values in snapshot["values"].items():
                for labels, value in values:
                    whole._add(key, value, *labels)
            for key, (counts, total) in snapshot["histograms"].items():
                histogram = whole._histograms[key]
                histogram.counts = [a + b for a, b in zip(histogram.counts, counts, strict=True)]
                histogram.total += total
        return whole

    # -- how it is read ----------------------------------------------------------------------------

    def to_prometheus(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)

    def to_dict(self) -> dict[str, float]:
        """Flat: metrics without labels of their own, histograms as ``_count`` and ``_sum``."""
        flat = {key: values[()] for key, values in self._values.items() if values.keys() == {()}}
        for key, histogram in self._histograms.items():
            flat[f"{key}_count"] = float(sum(histogram.counts))
            flat[f"{key}_sum"] = histogram.total
        return flat

    def collect(self) -> Iterable[Family]:
        """What Prometheus' client library asks of a collector."""
        return [self._family(metric) for metric in METRICS]

    def _family(self, metric: Metric) -> Family:
        names = ("model_name", *metric.labels)
        if metric.kind == "histogram":
            family = HistogramMetricFamily(metric.name, metric.help, labels=names)
            histogram = self._histograms[metric.key]
            family.add_metric([self.model_name], histogram.cumulative(), histogram.total)
            return family
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        numbers = kind(metric.name, metric.help, labels=names)
        for labels, value in self._values[metric.key].items():
            numbers.add_metric([self.model_name, *labels], value)
        return numbers

    # -- the numbers -------------------------------------------------------------------------------

    def _closed(self, endpoint: str | None) -> str:
        return endpoint if endpoint in self._endpoints and endpoint else OTHER_ENDPOINT

    def _add(self, key: str, amount: float = 1, *labels: str) -> None:
        values = self._values[key]
        values[labels] = values.get(labels, 0.0) + amount

    def _set(self, key: str, value: float, *labels: str) -> None:
        self._values[key][labels] = value


def _engine_values(stats: Mapping[str, float]) -> dict[str, float]:
    """The metrics that ``Engine.stats()`` gives; those it does not name are left out."""
    renamed = {
        "num_running_requests": "num_running_reqs",
        "num_waiting_requests": "num_queue_reqs",
        "num_retractions": "num_retracted_reqs",
        "num_finished_requests": "finished_reqs",
        "num_steps": "engine_steps_total",
        "cache_num_total_tokens": "max_total_num_tokens",
        "cache_num_evicted_tokens": "evicted_tokens_total",
    }
    values = {key: stats[name] for name, key in renamed.items() if name in stats}
    total = stats.get("cache_num_total_tokens")
    if total:
        free = stats.get("cache_num_free_tokens", 0) + stats.get("cache_num_evictable_tokens", 0)
        used = total - free
        values |= {"num_used_tokens": used, "kv_used_tokens": used, "token_usage": used / total}
    if stats.get("num_prompt_tokens"):
        values["cache_hit_rate"] = stats.get("num_cached_tokens", 0) / stats["num_prompt_tokens"]
    return values
