"""A client's call on its way to a worker.

    body read ──▶ place (or wait in line) ──▶ sent ──first bytes──▶ passed on until its last byte
                        ▲                      │
                        └──no answer, or 429, 502, 503, 504: to another worker, a few times

Nothing of an answer has reached the client before its first bytes are here, so until then a call
can begin anew elsewhere; nothing is sent twice after that.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sglite.config import RouterConfig
from sglite.errors import CapacityError
from sglite.router.policies import RoutedRequest
from sglite.router_server.call_view import view_call
from sglite.router_server.headers import to_worker, value_of
from sglite.router_server.keys import WorkerKeys
from sglite.router_server.passed_on import PassedOnResponse, worker_lost
from sglite.router_server.router_metrics import RouterMetrics
from sglite.router_server.worker_client import (
    UnreachableError,
    WorkerAnswer,
    WorkerCall,
    WorkerClient,
    WorkerLostError,
)
from sglite.router_server.workers import Worker, Workers
from sglite.server.http.body import read_body
from sglite.server.http.request_ids import request_id_of
from sglite.server.http.waiting import finish_or_disconnect

TRY_ELSEWHERE = frozenset({429, 502, 503, 504})
"""A worker that answers so has not begun; another may have room."""
MAX_KEPT_BYTES = 1 << 30
"""Bodies of calls that have no answer yet, together."""


class Attempt:
    """One call at one worker, from being sent to its last byte."""

    def __init__(self, work: Coroutine[Any, Any, WorkerAnswer]) -> None:
        self._task = asyncio.ensure_future(work)
        self._answer: WorkerAnswer | None = None
        self._reason: Exception | None = None

    async def begin(self) -> WorkerAnswer:
        """The answer, once it has begun. Raises WorkerLostError, or the reason of :meth:`cut`."""
        try:
            await asyncio.wait({self._task})
        except asyncio.CancelledError:
            self._task.add_done_callback(_close_late)
            self._task.cancel()
            raise
        if self._task.cancelled():
            raise self._reason or WorkerLostError("the worker was given up")
        self._answer = self._task.result()
        return self._answer

    def cut(self, reason: Exception) -> None:
        """End it, whether it has begun or not."""
        self._reason = self._reason or reason
        if self._answer is None:
            self._task.cancel()
        else:
            self._answer.cut(reason)


def _close_late(task: asyncio.Task[WorkerAnswer]) -> None:
    """Nobody waits any more for what this task may bring."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


class Proxy:
    """Passes calls on. One per router."""

    def __init__(
        self,
        config: RouterConfig,
        workers: Workers,
        client: WorkerClient,
        keys: WorkerKeys,
        metrics: RouterMetrics,
    ) -> None:
        self._max_tries = config.max_tries
        self._workers = workers
        self._client = client
        self._keys = keys
        self._metrics = metrics
        self._numbers = itertools.count()
        self._kept_bytes = 0

    async def pass_on(self, request: Request) -> Response:
        """Handle a call: its answer is a worker's.

        Raises NotReadyError where no worker is up, CapacityError where there is no room, HttpError
        where every worker that it was sent to failed.
        """
        body = await read_body(request)
        if self._kept_bytes + len(body) > MAX_KEPT_BYTES:
            raise CapacityError("too much waits for workers; try again later", retry_after_s=1.0)
        self._kept_bytes += len(body)
        try:
            return await finish_or_disconnect(request.receive, self._begin(request, body))
        finally:
            self._kept_bytes -= len(body)

    async def _begin(self, request: Request, body: bytes) -> Response:
        routed = view_call(str(next(self._numbers)), body, request.scope["headers"])
        call = self._call(request, body)
        tried: list[Worker] = []
        while len(tried) < self._max_tries:
            worker = await self._workers.place(routed, without=tried)
            if worker is None:
                break
            tried.append(worker)
            response = await self._try(worker, routed, call, tried)
            if response is not None:
                return response
            self._metrics.add("retries_total")
        raise worker_lost()

    async def _try(
        self, worker: Worker, routed: RoutedRequest, call: WorkerCall, tried: list[Worker]
    ) -> Response | None:
        """What the worker answers; None where another one should be asked."""
        self._metrics.add("decisions_total", worker.url)
        attempt = Attempt(self._client.open(worker.url, call))
        worker.open_calls.add(attempt)

        def close() -> None:
            worker.open_calls.discard(attempt)
            self._workers.release(routed.request_id)

        try:
            answer = await attempt.begin()
        except UnreachableError:
            self._workers.mark_down(worker)
            close()
            return None
        except WorkerLostError:
            close()
            return None
        except BaseException:
            close()
            raise
        if answer.status in TRY_ELSEWHERE and self._has_other(tried):
            answer.close()
            close()
            return None

        def finish() -> None:
            answer.close()
            close()

        return PassedOnResponse(answer, finish)

    def _has_other(self, tried: list[Worker]) -> bool:
        is_other = any(worker not in tried for worker in self._workers.up)
        return is_other and len(tried) < self._max_tries

    def _call(self, request: Request, body: bytes) -> WorkerCall:
        scope = request.scope
        given = value_of(scope["headers"], b"authorization")
        headers = to_worker(
            scope["headers"],
            request_id=request_id_of(request),
            authorization=self._keys.for_call(given),
        )
        return WorkerCall(scope["method"], target_of(request), headers, body)


def target_of(request: Request) -> str:
    """The path and the query as the client wrote them."""
    raw_path = request.scope.get("raw_path") or request.scope["path"].encode("utf-8")
    query = request.scope["query_string"]
    target = bytes(raw_path).partition(b"?")[0] + (b"?" + query if query else b"")
    return target.decode("latin-1")
