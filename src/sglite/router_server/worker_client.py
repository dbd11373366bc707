"""Calls to workers: asynchronous HTTP that changes nothing and goes nowhere else.

No redirect is followed, no cookie kept, no proxy of the environment used, nothing decompressed. An
answer is read as fast as its reader takes it: what lies unread stops the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from sglite.errors import SgliteError
from sglite.router_server.headers import Headers, value_of

READ_BYTES = 64 << 10
MAX_SMALL_ANSWER_BYTES = 4 << 20
MAX_HEAD_BYTES = 64 << 10
KEEP_ALIVE_S = 4.0
"""Less than servers keep idle connections: the usual is 5 s."""

UNSENDABLE = (aiohttp.ClientError, OSError, ValueError, asyncio.TimeoutError)
"""What a call may end with; the last but one is what aiohttp makes of nonsense."""

T = TypeVar("T")


class WorkerLostError(SgliteError):
    """A worker ended its answer in the middle, or gave none."""


class UnreachableError(WorkerLostError):
    """No connection to a worker can be made."""


@dataclass(frozen=True, slots=True)
class WorkerCall:
    """What is sent. ``target`` is the path with its query, as the client wrote it."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class SmallAnswer:
    """An answer that is here as a whole."""

    status: int
    headers: Headers
    body: bytes


class WorkerAnswer:
    """An answer that has begun: its status, its headers and its first bytes are here."""

    def __init__(self, response: aiohttp.ClientResponse, first: bytes) -> None:
        self.status = response.status
        self.headers: Headers = list(response.raw_headers)
        self.ends_event = True
        self._response = response
        self._first = first
        self._reason: Exception | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as they come. Raises WorkerLostError, or the reason of :meth:`cut`."""
        chunk = self._first
        while chunk:
            self.ends_event = chunk.endswith(b"\n\n")
            yield chunk
            chunk = await self._next()
        if self._reason is not None:
            raise self._reason

    def cut(self, reason: Exception) -> None:
        """End it in the middle; whoever reads gets the reason."""
        self._reason = self._reason or reason
        self._response.close()

    def close(self) -> None:
        """Hang up where it has not ended; otherwise the connection can be used again."""
        if not self._response.content.at_eof():
            self._response.close()
        else:
            self._response.release()

    async def _next(self) -> bytes:
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            reason = self._reason
            raise reason or WorkerLostError("the worker ended its answer early") from error


class WorkerClient:
    """One pool of connections to all workers. Make and close it inside the event loop."""

    def __init__(self, *, connect_timeout_s: float) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BYTES,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )

    async def open(self, url: str, call: WorkerCall) -> WorkerAnswer:
        """Send a call and wait until its answer begins. Raises WorkerLostError."""
        try:
            response = await self._send(url, call)
        except aiohttp.ServerDisconnectedError:
            # It closed an idle connection at this very moment, most likely.
            response = await self._lost_if_broken(self._send(url, call))
        except UNSENDABLE as error:
            raise _lost(error) from error
        try:
            first = await self._lost_if_broken(response.content.readany())
        except BaseException:
            response.close()
            raise
        return WorkerAnswer(response, first)

    async def ask(self, url: str, call: WorkerCall, *, timeout_s: float) -> SmallAnswer:
        """The whole of a small answer. Raises WorkerLostError, also when it takes too long."""
        try:
            return await asyncio.wait_for(self._ask(url, call), timeout_s)
        except asyncio.TimeoutError as error:
            raise WorkerLostError("the worker does not answer") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def _ask(self, url: str, call: WorkerCall) -> SmallAnswer:
        answer = await self.open(url, call)
        try:
            body = bytearray()
            async for chunk in answer.chunks():
                body += chunk
                if len(body) > MAX_SMALL_ANSWER_BYTES:
                    raise WorkerLostError("the worker's answer is too long")
            return SmallAnswer(answer.status, answer.headers, bytes(body))
        finally:
            answer.close()

    async def _lost_if_broken(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except UNSENDABLE as error:
            raise _lost(error) from error

    def _send(self, url: str, call: WorkerCall) -> Awaitable[aiohttp.ClientResponse]:
        headers = [(_text(name), _text(value)) for name, value in call.headers]
        options: dict[str, Any] = {}
        if call.body or value_of(call.headers, b"content-type") is not None:
            options["data"] = call.body
        return self._session.request(
            call.method,
            URL(url + call.target, encoded=True),
            headers=headers,
            allow_redirects=False,
            **options,
        )


def _text(word: bytes) -> str:
    """What aiohttp writes as these bytes, which it does in UTF-8."""
    try:
        return word.decode("utf-8")
    except UnicodeDecodeError:
        return word.decode("latin-1")


def _lost(error: Exception) -> WorkerLostError:
    is_unreachable = isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError))
    kind = UnreachableError if is_unreachable else WorkerLostError
    return kind(f"the worker failed ({type(error).__name__})")
