"""What the router counts. Names begin with ``sglite_router:``; workers are labels by their URLs,
which only the operator names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from sglite.server.telemetry.metric_table import Metric
from sglite.server.telemetry.metrics import STATUS_CLASSES, Histogram

DECISION_SECONDS = (
    *(0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005),
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
)
COUNTERS = (
    Metric("sglite_router:http_requests_total", "counter", "HTTP requests.", ("endpoint",)),
    Metric(
        "sglite_router:http_responses_total",
        "counter",
        "HTTP responses, by class of status.",
        ("endpoint", "status_class"),
    ),
    Metric("sglite_router:decisions_total", "counter", "Calls sent to a worker.", ("worker",)),
    Metric("sglite_router:retries_total", "counter", "Calls that went on to another worker."),
)
GAUGES = (
    Metric("sglite_router:worker_up", "gauge", "1 while a worker takes calls.", ("worker",)),
    Metric("sglite_router:worker_open_calls", "gauge", "Calls that a worker has.", ("worker",)),
    Metric("sglite_router:waiting_calls", "gauge", "Calls that wait in line."),
)
DECISIONS = Metric(
    "sglite_router:decision_seconds",
    "histogram",
    "How long choosing a worker took, without the wait in line.",
    buckets=DECISION_SECONDS,
)

Gauges = Mapping[str, Mapping[tuple[str, ...], float]]


class RouterMetrics(Collector):
    """All metrics of a router. ``gauges`` is asked for the present state at each scrape."""

    def __init__(self, gauges: Callable[[], Gauges]) -> None:
        self.registry = CollectorRegistry()
        self._gauges = gauges
        self._values: dict[str, dict[tuple[str, ...], float]] = {
            metric.key: {} if metric.labels else {(): 0.0} for metric in COUNTERS
        }
        self._decisions = Histogram(DECISION_SECONDS)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def add(self, key: str, *labels: str) -> None:
        """Count one more."""
        values = self._values[key]
        values[labels] = values.get(labels, 0.0) + 1

    def decided(self, seconds: float) -> None:
        """A worker was chosen."""
        self._decisions.observe(seconds)

    def http_request(self, endpoint: str | None) -> None:
        """A request for a route; ``endpoint`` is its template, None where there is no route."""
        self.add("http_requests_total", endpoint or "other")

    def http_response(self, endpoint: str | None, status: int) -> None:
        """A response was started. ``endpoint`` as in :meth:`http_request`."""
        class_ = STATUS_CLASSES[min(max(status // 100, 1), 5) - 1]
        self.add("http_responses_total", endpoint or "other", class_)

    def to_prometheus(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)

    def collect(self) -> Iterable[Family]:
        """What Prometheus' client library asks of a collector."""
        gauges = self._gauges()
        for metric in COUNTERS:
            counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            _fill(counter, self._values[metric.key])
            yield counter
        for metric in GAUGES:
            gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            _fill(gauge, gauges[metric.key])
            yield gauge
        family = HistogramMetricFamily(DECISIONS.name, DECISIONS.help)
        family.add_metric([], self._decisions.cumulative(), self._decisions.total)
        yield family


def _fill(
    family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[tuple[str, ...], float]
) -> None:
    for labels, value in values.items():
        family.add_metric(list(labels), value)
