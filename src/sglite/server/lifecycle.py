"""The life of a server: starting, serving, draining, gone; and what ends it.

    starting ──engine ready──▶ serving ──SIGTERM, SIGINT──▶ draining ──done or time up──▶ gone (0)
                                  └──engine dead or silent──▶ every stream told ─────────▶ gone (1)

A second signal ends the draining at once. Of several engines, one that is dead or silent is started
again, and the server goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sglite.errors import NotReadyError
from sglite.observability.logging import log_event
from sglite.server.http.connection_guard import guarded_protocol
from sglite.server.http.error_table import HttpError, error_response
from sglite.server.listen import BACKLOG

if TYPE_CHECKING:
    from sglite.config_shared import ListenOptions
    from sglite.server.api_workers import ApiWorkers

SIGNALS = (signal.SIGTERM, signal.SIGINT)
POLL_S = 0.1
HTTP_STOP_S = 2
LAST_WORDS_S = 1.0
EXIT_CLEAN = 0
EXIT_FAILED = 1

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Alive(Protocol):
    """What ends the server when it ends."""

    @property
    def is_alive(self) -> bool:
        """Whether there is anything to serve with."""

    @property
    def heals(self) -> bool:
        """True where that comes back by itself, so that its end is not the server's."""


class Served(Protocol):
    """What a lifecycle needs of a front: whatever it is that serves calls."""

    is_draining: bool

    @property
    def engine(self) -> Alive:
        """What the front cannot be without."""

    def fail_open_calls(self, error: Exception) -> None:
        """End every open call with this error."""


class QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers: when to stop is decided in this module."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def make_server(config: ListenOptions, app: ASGIApp, *, num_processes: int = 1) -> QuietServer:
    """uvicorn with our connections, and nothing that decides for us.

    ``num_processes`` share the connections that there may be.
    """
    protocol = guarded_protocol(
        max_connections=-(-config.max_connections // num_processes),
        head_timeout_s=config.read_timeout_s,
        stall_timeout_s=config.stall_timeout_s,
    )
    settings = uvicorn.Config(
        app,
        http=protocol,
        loop="none",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,  # who calls is decided by the connection, not by a header
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=max(1, round(config.keep_alive_timeout_s)),
        timeout_graceful_shutdown=HTTP_STOP_S,
        ssl_certfile=config.ssl_certfile,
        ssl_keyfile=config.ssl_keyfile,
    )
    return QuietServer(settings)


class SwitchedApp:
    """Answers 503 until the application is there; HTTP is up before the model is."""

    def __init__(self) -> None:
        self.app: ASGIApp = starting_app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call by the present application."""
        await self.app(scope, receive, send)


async def starting_app(scope: Scope, receive: Receive, send: Send) -> None:
    """What calls get while the model loads."""
    if scope["type"] == "http":
        is_live = scope["path"] == "/health/live"
        starting = HttpError("the server is starting", status=503, code="starting")
        response = Response() if is_live else error_response(starting)
        await response(scope, receive, send)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})


class Lifecycle:
    """Runs one server until it ends. ``exit_code`` is what the process ends with."""

    def __init__(
        self, server: QuietServer, config: ListenOptions, workers: ApiWorkers | None = None
    ) -> None:
        self.server = server
        self.exit_code = EXIT_CLEAN
        self._config = config
        self._workers = workers
        self._front: Served | None = None
        self._num_signals = 0
        self._drain: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @contextlib.asynccontextmanager
    async def signals(self) -> AsyncIterator[None]:
        """Inside, SIGTERM and SIGINT stop the server instead of the process."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.on_signal)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def on_signal(self) -> None:
        """Drain at the first signal, stop at the second."""
        self._num_signals += 1
        if self._front is None or self._num_signals > 1:
            self.stop()
        else:
            self.drain()

    def drain(self) -> None:
        """Take no new calls, and end when those that run are done or their time is up."""
        self._stopping.set()
        if self._front is None:
            self.stop()
        elif self._drain is None:
            self._front.is_draining = True
            if self._workers is not None:
                self._workers.drain()
            self._drain = asyncio.ensure_future(self._drain_calls())

    def stop(self) -> None:
        """End now: calls that run are told so."""
        self._stopping.set()
        if self._workers is not None:
            self._workers.stop_now()
        self._stop_now()

    def on_http_end(self, http: asyncio.Future[None]) -> None:
        """The HTTP server has ended; where nobody wanted that, so does everything."""
        fault = None if http.cancelled() else http.exception()
        if self.server.should_exit and fault is None:
            return
        logger.critical("http_failed", exc_info=fault)
        self.exit_code = EXIT_FAILED
        self.server.should_exit = True
        self._stopping.set()

    async def start(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of ``work``; None, and ``work`` cancelled, where a signal comes first."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            stopped.cancel()
            task.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)

    async def serve(self, front: Served) -> int:
        """Watch over a server that is ready until it ends; the exit code."""
        self._front = front
        if self._stopping.is_set():
            self._stop_now()
        while not self.server.should_exit:
            if not (front.engine.is_alive or front.engine.heals):
                await self._fail(front, "engine_failed", "the log above has the cause")
                break
            if self._workers is not None and self._workers.fault is not None:
                await self._fail(front, "api_worker_failed", self._workers.fault)
                break
            await asyncio.sleep(POLL_S)
        return self.exit_code

    async def _drain_calls(self) -> None:
        """Wait for the running calls, tell those that are late, and let uvicorn end."""
        front, timeout_s = self._front, self._config.drain_timeout_s
        log_event(logger, logging.INFO, "draining", calls=self._num_calls, seconds=timeout_s)
        if not await self._wait_for_calls(timeout_s) and front is not None:
            log_event(logger, logging.WARNING, "drain_timed_out", calls=self._num_calls)
            front.fail_open_calls(NotReadyError("the server stopped before the answer was done"))
            await self._wait_for_calls(LAST_WORDS_S)
        self.server.should_exit = True

    async def _fail(self, front: Served, event: str, hint: str) -> None:
        """A process is gone. Every call is told; let them say so, and end."""
        log_event(logger, logging.CRITICAL, event, hint=hint)
        self.exit_code = EXIT_FAILED
        front.is_draining = True
        if self._workers is not None:
            self._workers.stop_now()
        front.fail_open_calls(NotReadyError("the server has failed"))
        await self._wait_for_calls(LAST_WORDS_S)
        self._stop_now()

    def _stop_now(self) -> None:
        if self._front is not None:
            self._front.is_draining = True
            self._front.fail_open_calls(NotReadyError("the server was stopped"))
        self.server.should_exit = True

    async def _wait_for_calls(self, timeout_s: float) -> bool:
        """True once every call that runs now has ended; False where the time is up first.

        Calls that come meanwhile are refused: whoever tries again and again delays nothing.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        calls = set(self.server.server_state.tasks)
        while any(not call.done() for call in calls):
            if loop.time() >= deadline_s or self.server.should_exit:
                return False
            await asyncio.sleep(min(POLL_S, timeout_s))
        return True

    @property
    def _num_calls(self) -> int:
        return len(self.server.server_state.tasks)
