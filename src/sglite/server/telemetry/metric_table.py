"""Every metric of the server, declared once: name, kind, help, labels.

Names that begin with ``sglang:`` are SGLang's, with its meaning; what SGLang has no name for begins
with ``sglite:``. Every metric has the label ``model_name``. The other labels take their values from
closed sets, so that no client can make the tables grow: the route's template (``endpoint``), the
class of the status (``2xx``), the reason of an end, the number of an ``engine``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

SECONDS = (
    *(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8),
    *(1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 200.0, 400.0),
)
ENGINE = ("engine",)
LONG_SECONDS = (*SECONDS, 600.0, 1200.0, 1800.0, 2400.0)
SHORT_SECONDS = (
    *(0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04),
    *(0.06, 0.08, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0),
)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``buckets`` are the upper bounds of a histogram, in seconds."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def key(self) -> str:
        """The name without its prefix: how the code speaks of it."""
        return self.name.partition(":")[2]


METRICS: tuple[Metric, ...] = (
    # Finished requests, as the HTTP process sees them.
    Metric("sglang:num_requests_total", "counter", "Requests that ended, in whatever way."),
    Metric("sglang:num_aborted_requests_total", "counter", "Requests that were aborted."),
    Metric(
        "sglite:requests_finished_total",
        "counter",
        "Requests that ended, by reason: stop, length, abort, error.",
        ("reason",),
    ),
    Metric("sglang:prompt_tokens_total", "counter", "Prompt tokens of ended requests."),
    Metric(
        "sglang:cached_tokens_total",
        "counter",
        "Prompt tokens of ended requests that came from the prefix cache.",
    ),
    Metric("sglite:prefix_hits_total", "counter", "Ended requests with cached prompt tokens."),
    Metric("sglite:prefix_misses_total", "counter", "Ended requests without cached prompt tokens."),
    Metric("sglang:generation_tokens_total", "counter", "Tokens that were generated."),
    Metric(
        "sglang:time_to_first_token_seconds",
        "histogram",
        "From the arrival of a request at the engine to its first token.",
        buckets=SECONDS,
    ),
    Metric(
        "sglang:inter_token_latency_seconds",
        "histogram",
        "Time between tokens of a request, as they reach the HTTP process.",
        buckets=SHORT_SECONDS,
    ),
    Metric(
        "sglang:e2e_request_latency_seconds",
        "histogram",
        "From the arrival of a request at the engine to its end.",
        buckets=LONG_SECONDS,
    ),
    Metric(
        "sglang:queue_time_seconds",
        "histogram",
        "From the arrival of a request at the engine to its admission.",
        buckets=SECONDS,
    ),
    # HTTP.
    Metric("sglang:http_requests_total", "counter", "HTTP requests.", ("endpoint",)),
    Metric(
        "sglang:http_responses_total",
        "counter",
        "HTTP responses, by class of status.",
        ("endpoint", "status_class"),
    ),
    # The engine, asked when the metrics are.
    Metric("sglang:num_running_reqs", "gauge", "Requests that run."),
    Metric("sglang:num_queue_reqs", "gauge", "Requests that wait."),
    Metric("sglang:max_total_num_tokens", "gauge", "Tokens that the KV pool holds."),
    Metric("sglang:num_used_tokens", "gauge", "Tokens of the KV pool that requests hold."),
    Metric("sglang:kv_used_tokens", "gauge", "The same under SGLang's newer name."),
    Metric("sglang:token_usage", "gauge", "Share of the KV pool that requests hold."),
    Metric("sglang:cache_hit_rate", "gauge", "Cached share of the prompt tokens since the start."),
    Metric(
        "sglang:gen_throughput", "gauge", "Generated tokens per second, over the last 10 seconds."
    ),
    Metric("sglang:num_retracted_reqs", "gauge", "Retractions since the start."),
    Metric("sglang:evicted_tokens_total", "counter", "Tokens that the prefix cache gave up."),
    Metric("sglite:engine_steps_total", "counter", "Steps of the engine."),
    Metric(
        "sglite:engine_loop_age_seconds",
        "gauge",
        "Since the engine's loop last turned, by its last heartbeat.",
    ),
    # Each engine, by its number.
    Metric("sglite:engine_up", "gauge", "Whether an engine runs: 1 or 0.", ENGINE),
    Metric("sglite:engine_running_reqs", "gauge", "Requests that an engine runs.", ENGINE),
    Metric("sglite:engine_queue_reqs", "gauge", "Requests that wait in an engine.", ENGINE),
    Metric(
        "sglite:engine_finished_reqs",
        "gauge",
        "Requests that an engine has ended since it was started.",
        ENGINE,
    ),
    Metric("sglite:engine_token_usage", "gauge", "Share of its KV pool that is held.", ENGINE),
    Metric(
        "sglite:engine_cache_hit_rate",
        "gauge",
        "Cached share of an engine's prompt tokens since it was started.",
        ENGINE,
    ),
    Metric("sglite:router_waiting_reqs", "gauge", "Requests that wait for an engine with room."),
)
