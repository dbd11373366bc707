"""uvicorn's HTTP connection with limits of its own: on connections, on the head, on patience (R19).

    no request yet, or not all of its head        head_timeout_s, then 408 or silence
    the body of a call                            its handler's patience
    what is left of a body when it was answered   head_timeout_s
    an answer that is not read                    stall_timeout_s
    between two requests                          uvicorn's keep-alive timer

What is refused here never becomes a call; it is answered with the same error body as everything.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from sglite.server.http.error_table import HttpError, error_body, error_response

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application
    from uvicorn.config import Config
    from uvicorn.server import ServerState

MAX_HEAD_BYTES = 16 << 10
MAX_CALLS_AHEAD = 16
MAX_BYTES_AHEAD = 64 << 10
"""What a client may send before it has its answer; beyond that the connection is not read."""
MIN_TAKEN_BYTES = 16 << 10
"""What a client has to read of an answer within the time-out."""
REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Too Large", 503: "Unavailable"}


class GuardedHttpProtocol(HttpToolsProtocol):
    """One connection. Subclasses made by :func:`guarded_protocol` hold the limits."""

    max_connections = 4096
    head_timeout_s = 10.0
    stall_timeout_s = 30.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_timer: asyncio.TimerHandle | None = None
        self._num_head_bytes = 0
        self._is_in_body = False
        self._unread_timer: asyncio.TimerHandle | None = None
        self._num_unread_bytes = 0
        self._running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse what is one too many; otherwise wait for a head, but not for long."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(503, "the server has too many connections", code="overloaded")
            return
        self._start_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers, and tell the call that runs: uvicorn tells the one sent last."""
        self._end_head()
        super().connection_lost(exc)
        self._end_unread()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head that does not end, and give no bytes all the time there is."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._read_on()
        elif self._head_timer is None:
            if self.cycle is not None and self.cycle.response_complete:
                self._start_head()  # any byte has ended the keep-alive timer
        elif not self._is_in_body:
            self._num_head_bytes += len(data)
            if self._num_head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, f"the head has more than {MAX_HEAD_BYTES >> 10} KiB")

    def on_message_begin(self) -> None:
        """A request starts; its handler may cut the connection."""
        super().on_message_begin()
        self.scope["state"]["abort_connection"] = self.transport.abort
        if self._head_timer is None:
            self._start_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. What follows a chunked body is none: it is unbounded, and comes late."""
        if self._head_timer is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is here; one that is too large gets a 431 in its turn."""
        self._end_head()
        self._is_in_body = True
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        app = self.app
        if size > MAX_HEAD_BYTES:
            self.app = _head_too_large
        try:
            super().on_headers_complete()
        finally:
            self.app = app

    def on_message_complete(self) -> None:
        """The body is here."""
        self._is_in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is written; it remains to be read."""
        super().on_response_complete()
        self._watch_unread()

    def resume_writing(self) -> None:
        """The client has read on."""
        super().resume_writing()
        self._watch_unread()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "this is no valid HTTP request")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        if self._unread_timer is not None:
            self._watch_unread()
        super()._start_asgi_task(cycle, app)

    def _read_on(self) -> None:
        """Go on reading while a call runs, else nobody would see the caller leave."""
        num_bytes = sum(len(cycle.body) for cycle, _ in self.pipeline)
        if len(self.pipeline) <= MAX_CALLS_AHEAD and num_bytes <= MAX_BYTES_AHEAD:
            self.flow.resume_reading()

    def _watch_unread(self) -> None:
        """Give a client time to take its answer; nothing else would end a connection that does not.

        What an open call writes is its own matter, as long as it can write.
        """
        self._end_unread()
        is_running = self._running is not None and not self._running.response_complete
        self._num_unread_bytes = self.transport.get_write_buffer_size()
        if self._num_unread_bytes > (HIGH_WATER_LIMIT if is_running else 0):
            self._unread_timer = self.loop.call_later(self.stall_timeout_s, self._check_unread)

    def _end_unread(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _check_unread(self) -> None:
        allowed = max(0, self._num_unread_bytes - MIN_TAKEN_BYTES)
        if self.transport.get_write_buffer_size() > allowed:
            self.transport.abort()
        else:
            self._watch_unread()

    def _start_head(self) -> None:
        self._num_head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._head_timed_out)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_timed_out(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._num_head_bytes:
            self._refuse(408, f"no request came within {self.head_timeout_s:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str, *, code: str | None = None) -> None:
        self._end_head()
        body = msgspec.json.encode(error_body(HttpError(message, status=status, code=code)))
        retry = "Retry-After: 1\r\n" if status == 503 else ""
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{retry}Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
        self._watch_unread()


def guarded_protocol(
    *, max_connections: int, head_timeout_s: float, stall_timeout_s: float = 30.0
) -> type[GuardedHttpProtocol]:
    """The protocol with these limits, as uvicorn takes it: as a class."""
    limits = {
        "max_connections": max_connections,
        "head_timeout_s": head_timeout_s,
        "stall_timeout_s": stall_timeout_s,
    }
    return type("LimitedHttpProtocol", (GuardedHttpProtocol,), limits)


async def _head_too_large(scope: Scope, receive: Receive, send: Send) -> None:
    error = HttpError(
        f"the head has more than {MAX_HEAD_BYTES >> 10} KiB",
        status=431,
        headers={"Connection": "close"},
    )
    response: ASGIApp = error_response(error)
    await response(scope, receive, send)
