"""``GET /metrics``: for Prometheus, or as flat JSON for who asks for ``application/json``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response

from sglite.errors import SgliteError
from sglite.ipc.fleet_control import sums
from sglite.observability.logging import log_event
from sglite.server.http.routes import ApiRoute
from sglite.server.telemetry.metrics import ServerMetrics

if TYPE_CHECKING:
    from sglite.ipc.engine_link import EngineLink
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
    """The handler. What HTTP processes count is added up; the engines are asked at each scrape."""

    def __init__(self, front: Front, metrics: ServerMetrics) -> None:
        self._front = front
        self._metrics = metrics
        self._stats: dict[int, Mapping[str, float]] = {}
        front.peers.answer("metrics", lambda _: self._snapshot())

    async def get_metrics(self, request: Request) -> Response:
        """All numbers as they are now."""
        whole = self._metrics.sum_of(await self._front.peers.ask("metrics"))
        await self._ask_engines(whole)
        if "application/json" in request.headers.get("accept", ""):
            flat = msgspec.json.encode(_flat(self._front, whole))
            return Response(flat, media_type="application/json")
        return Response(whole.to_prometheus(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    def _snapshot(self) -> dict[str, Any]:
        self._metrics.requests_waiting(self._front.engine.waiting_count)
        return self._metrics.snapshot()

    async def _ask_engines(self, whole: ServerMetrics) -> None:
        """Add the engines' numbers: their sums, and each one's."""
        engines, heartbeat = self._front.engine.engines, self._front.engine.heartbeat
        found = await asyncio.gather(*(self._stats_of(*pair) for pair in engines.items()))
        # One that has ended keeps its line, which says so, and its last counts.
        self._stats |= dict(zip(engines, found, strict=True))
        loop_age_s = None if heartbeat is None else heartbeat.loop_age_s
        whole.engine_state(sums(found), loop_age_s=loop_age_s)
        for number, stats in sorted(self._stats.items()):
            whole.state_of_engine(number, stats, is_up=number in engines)

    async def _stats_of(self, number: int, engine: EngineLink) -> Mapping[str, float]:
        """An engine's counters; the last known ones where it is silent."""
        try:
            answer = await asyncio.wait_for(engine.control("stats"), ENGINE_TIMEOUT_S)
        except (asyncio.TimeoutError, SgliteError) as error:
            log_event(logger, logging.WARNING, "metrics_without_engine", error=type(error).__name__)
            answer = None
        if answer:
            return dict(answer)
        known = dict(self._stats.get(number, {}))
        if engine.heartbeat is not None:
            known["num_running_requests"] = engine.heartbeat.num_running
            known["num_waiting_requests"] = engine.heartbeat.num_waiting
        return known


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
