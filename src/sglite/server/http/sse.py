"""Server-sent events: written as they come, no faster than they are read, ended when nobody reads.

An event is ``data: {json}``, an empty line, and nothing else: SGLang's clients parse every line.
Nothing is queued here. While the connection is full, the source is not asked, and what the engine
generates meanwhile becomes one larger batch of events.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sglite.errors import SgliteError
from sglite.observability.logging import log_event
from sglite.server.http.error_table import stream_error
from sglite.server.http.waiting import wait_for_disconnect

DONE = b"data: [DONE]\n\n"
STALL_TIMEOUT_S = 30.0

logger = logging.getLogger(__name__)

ErrorWriter = Callable[[Exception], bytes]


def event(value: object) -> bytes:
    """One event with a JSON value."""
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


class EventStreamResponse(Response):
    """Sends batches of events as they come; each item of ``events`` is one write.

    The status is sent with the first batch, so an error before that is an ordinary error answer
    (it is raised to the app). A later one is an event, then ``[DONE]``; ``write_error`` makes other
    bytes of it. ``on_close`` is called once, however it ends: completed, failed, caller gone, or
    nothing read for ``stall_timeout_s``. ``events`` writes its own last event.
    """

    def __init__(
        self,
        events: AsyncIterator[bytes],
        on_close: Callable[[], None],
        *,
        media_type: str = "text/event-stream",
        headers: dict[str, str] | None = None,
        write_error: ErrorWriter | None = None,
        stall_timeout_s: float | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.media_type = media_type
        self.init_headers(
            {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"} | (headers or {})
        )
        self._events = events
        self._on_close = on_close
        self._write_error = write_error
        self._stall_timeout_s = stall_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream. Raises ClientDisconnect, and what ``events`` raises before its first."""
        state = scope.get("state", {})
        stall_s = self._stall_timeout_s or state.get("stall_timeout_s", STALL_TIMEOUT_S)
        writer = _Writer(send, stall_s, self.raw_headers, self.status_code)
        pump = asyncio.ensure_future(self._pump(writer, state.get("request_id")))
        watch = asyncio.ensure_future(wait_for_disconnect(receive))
        stalled = asyncio.ensure_future(writer.wait_for_stall())
        try:
            await asyncio.wait({pump, watch, stalled}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
                return
            if not watch.done():
                log_event(logger, logging.INFO, "stream_stalled", seconds=stall_s)
            state.get("abort_connection", _do_nothing)()
            raise ClientDisconnect
        finally:
            for task in (pump, watch, stalled):
                task.cancel()
            await asyncio.gather(pump, watch, stalled, return_exceptions=True)
            self._on_close()

    async def _pump(self, writer: _Writer, request_id: str | None) -> None:
        try:
            async for batch in self._events:
                await writer.write(batch)
        except Exception as error:
            if not writer.has_started:
                raise
            if not isinstance(error, SgliteError):
                logger.exception("stream_failed")
            if self._write_error is not None:
                await writer.write(self._write_error(error))
            else:
                await writer.write(stream_error(error, request_id=request_id))
        finally:
            aclose = getattr(self._events, "aclose", None)
            if aclose is not None:
                with suppress(RuntimeError):
                    await aclose()
        await writer.finish()


class _Writer:
    """Sends the status with the first bytes, and knows since when a write has been waiting."""

    def __init__(
        self, send: Send, stall_timeout_s: float, headers: list[tuple[bytes, bytes]], status: int
    ) -> None:
        self._send = send
        self._stall_timeout_s = stall_timeout_s
        self._start = {"type": "http.response.start", "status": status, "headers": headers}
        self._waiting_since_s: float | None = None
        self._clock = asyncio.get_running_loop().time
        self.has_started = False

    async def write(self, data: bytes) -> None:
        """Send bytes; returns when the connection took what was sent before them."""
        if data:
            await self._put(data, more_body=True)

    async def finish(self) -> None:
        """End the body."""
        await self._put(b"", more_body=False)

    async def _put(self, data: bytes, *, more_body: bool) -> None:
        self._waiting_since_s = self._clock()
        if not self.has_started:
            self.has_started = True
            await self._send(self._start)
        await self._send({"type": "http.response.body", "body": data, "more_body": more_body})
        self._waiting_since_s = None

    async def wait_for_stall(self) -> None:
        """Return when one write has been waiting for the whole time-out."""
        while True:
            since_s = self._waiting_since_s
            left_s = self._stall_timeout_s
            if since_s is not None:
                left_s -= self._clock() - since_s
                if left_s <= 0:
                    return
            await asyncio.sleep(max(left_s, 0.01))


def _do_nothing() -> None:
    pass
