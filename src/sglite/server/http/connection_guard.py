"""uvicorn's HTTP connection with limits of its own: on connections, on the head, on patience (R19).

What is refused here never becomes a call; it is answered with the same error body as everything.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sglite.server.error_table import HttpError, error_body, error_response

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

MAX_HEAD_BYTES = 16 << 10
REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Too Large", 503: "Unavailable"}


class GuardedHttpProtocol(HttpToolsProtocol):
    """One connection. Subclasses made by :func:`guarded_protocol` hold the limits."""

    max_connections = 4096
    head_timeout_s = 10.0

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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse what is one too many; otherwise wait for a head, but not for long."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(503, "the server has too many connections", code="overloaded")
            return
        self._start_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head that does not end."""
        super().data_received(data)
        if self._head_timer is not None:
            self._num_head_bytes += len(data)
            if self._num_head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(431, f"the head has more than {MAX_HEAD_BYTES >> 10} KiB")

    def on_message_begin(self) -> None:
        """A request starts; its handler may cut the connection."""
        super().on_message_begin()
        self.scope["state"]["abort_connection"] = self.transport.abort
        if self._head_timer is None:
            self._start_head()

    def on_headers_complete(self) -> None:
        """The head is here; one that is too large gets a 431 in its turn."""
        self._end_head()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        app = self.app
        if size > MAX_HEAD_BYTES:
            self.app = _head_too_large
        try:
            super().on_headers_complete()
        finally:
            self.app = app

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "this is no valid HTTP request")

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


def guarded_protocol(*, max_connections: int, head_timeout_s: float) -> type[GuardedHttpProtocol]:
    """The protocol with these limits, as uvicorn takes it: as a class."""
    limits = {"max_connections": max_connections, "head_timeout_s": head_timeout_s}
    return type("LimitedHttpProtocol", (GuardedHttpProtocol,), limits)


async def _head_too_large(scope: Scope, receive: Receive, send: Send) -> None:
    error = HttpError(
        f"the head has more than {MAX_HEAD_BYTES >> 10} KiB",
        status=431,
        headers={"Connection": "close"},
    )
    response: ASGIApp = error_response(error)
    await response(scope, receive, send)
