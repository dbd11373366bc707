"""``GET /metrics``: for Prometheus, or as flat JSON for who asks for ``application/json``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response

from sglite.errors import SgliteError
from sglite.observability.logging import log_event
from sglite.server.metrics import ServerMetrics
from sglite.server.routes import ApiRoute

if TYPE_CHECKING:
    from sglite.server.front import Front

logger = logging.getLogger(__name__)

ENGINE_TIMEOUT_S = 1.0
"""A busy engine answers between two steps. After this long the scrape goes on without it."""


def routes(front: Front) -> list[ApiRoute]:
    """The route, where metrics are on."""
    metrics = front.observation.metrics
    if metrics is None:
        return []

    async def get_metrics(request: Request) -> Response:
        await _ask_engine(front, metrics)
        if "application/json" in request.headers.get("accept", ""):
            return Response(
                msgspec.json.encode(_flat(front, metrics)), media_type="application/json"
            )
        return Response(metrics.to_prometheus(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return [
        ApiRoute(
            path="/metrics",
            methods=("GET",),
            handler=get_metrics,
            access="user",
            summary="Metrics in Prometheus' text format, or as JSON",
        )
    ]


async def _ask_engine(front: Front, metrics: ServerMetrics) -> None:
    """Bring the engine's numbers up to date; what its last heartbeat said where it is silent."""
    heartbeat = front.engine.heartbeat
    stats: Mapping[str, float] = {}
    if heartbeat is not None:
        stats = {
            "num_running_requests": heartbeat.num_running,
            "num_waiting_requests": heartbeat.num_waiting,
        }
    try:
        answer = await asyncio.wait_for(front.engine.control("stats"), ENGINE_TIMEOUT_S)
        stats = answer or stats
    except (asyncio.TimeoutError, SgliteError) as error:
        log_event(logger, logging.WARNING, "metrics_without_engine", error=type(error).__name__)
    metrics.engine_state(stats, loop_age_s=None if heartbeat is None else heartbeat.loop_age_s)


def _flat(front: Front, metrics: ServerMetrics) -> dict[str, float | str]:
    """Everything without labels, and first the names of the streaming-first dialect."""
    numbers = metrics.to_dict()
    cached = numbers["cached_tokens_total"]
    return {
        "scheduler_mode": front.config.schedule_policy,
        "inflight": numbers["num_running_reqs"] + numbers["num_queue_reqs"],
        "prefix_hits": numbers["prefix_hits_total"],
        "prefix_misses": numbers["prefix_misses_total"],
        "prefill_hit_tokens": cached,
        "prefill_miss_tokens": numbers["prompt_tokens_total"] - cached,
        **numbers,
    }
