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
from sglite.server.http.routes import ApiRoute
from sglite.server.telemetry.metrics import ServerMetrics

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
    return [
        ApiRoute(
            path="/metrics",
            methods=("GET",),
            handler=MetricsApi(front, metrics).get_metrics,
            access="user",
            summary="Metrics in Prometheus' text format, or as JSON",
        )
    ]


class MetricsApi:
    """The handler. What HTTP processes count is added up; the engine is asked at each scrape."""

    def __init__(self, front: Front, metrics: ServerMetrics) -> None:
        self._front = front
        self._metrics = metrics
        self._stats: Mapping[str, float] = {}
        front.peers.answer("metrics", lambda _: metrics.snapshot())

    async def get_metrics(self, request: Request) -> Response:
        """All numbers as they are now."""
        whole = self._metrics.sum_of(await self._front.peers.ask("metrics"))
        await self._ask_engine(whole)
        if "application/json" in request.headers.get("accept", ""):
            flat = msgspec.json.encode(_flat(self._front, whole))
            return Response(flat, media_type="application/json")
        return Response(whole.to_prometheus(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def _ask_engine(self, whole: ServerMetrics) -> None:
        """Add the engine's numbers; the last known ones where it is silent."""
        heartbeat = self._front.engine.heartbeat
        known = dict(self._stats)
        if heartbeat is not None:
            known["num_running_requests"] = heartbeat.num_running
            known["num_waiting_requests"] = heartbeat.num_waiting
        try:
            stats = self._front.engine.control("stats")
            self._stats = await asyncio.wait_for(stats, ENGINE_TIMEOUT_S) or known
        except (asyncio.TimeoutError, SgliteError) as error:
            log_event(logger, logging.WARNING, "metrics_without_engine", error=type(error).__name__)
            self._stats = known
        loop_age_s = None if heartbeat is None else heartbeat.loop_age_s
        whole.engine_state(self._stats, loop_age_s=loop_age_s)


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
