"""HTTP/1.1 for load: one POST per connection, and events as they come from the socket.

No library stands between the socket and the clock: what is timed is the server.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from asyncio import LimitOverrunError
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from sglite.client.http import error_of, parse_url
from sglite.errors import RemoteError

READ_BYTES = 1 << 16
MAX_HEAD_BYTES = 1 << 16
MAX_ERROR_BYTES = 1 << 16


class Target:
    """A server under load. ConfigError for a bad URL."""

    def __init__(self, url: str, *, api_key: str | None = None) -> None:
        self.url = url
        is_tls, self._host, self._port, self._prefix = parse_url(url)
        self._tls = ssl.create_default_context() if is_tls else None
        self._authorization = f"Authorization: Bearer {api_key}\r\n" if api_key else ""

    async def post_events(self, path: str, body: Any) -> AsyncGenerator[list[str], None]:
        """The data of the events of a stream, as many at a time as came at once.

        Raises RemoteError where the server cannot be reached, refuses, or breaks off. Closing it
        hangs up.
        """
        try:
            reader, writer = await asyncio.open_connection(
                self._host, self._port, ssl=self._tls, limit=MAX_HEAD_BYTES
            )
        except OSError as error:
            raise RemoteError(f"{self.url} cannot be reached: {error}") from error
        try:
            writer.write(self._request(path, body))
            async for events in self._events(reader):
                yield events
        except (OSError, ValueError, asyncio.IncompleteReadError, LimitOverrunError) as error:
            reason = str(error) or type(error).__name__
            raise RemoteError(f"{self.url} broke off: {reason}") from error
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _request(self, path: str, body: Any) -> bytes:
        content = json.dumps(body).encode()
        head = (
            f"POST {self._prefix}{path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"{self._authorization}Content-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        return head.encode("latin-1") + content

    async def _events(self, reader: asyncio.StreamReader) -> AsyncGenerator[list[str], None]:
        status, headers = parse_head(await reader.readuntil(b"\r\n\r\n"))
        body = BodyReader(reader, headers)
        if status != 200:
            text = b""
            while (data := await body.read()) and len(text) < MAX_ERROR_BYTES:
                text += data
            raise RemoteError(str(error_of(self.url, status, text, None)))
        splitter = EventSplitter()
        while data := await body.read():
            if events := splitter.push(data):
                yield events


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers of a response; names in lower case. Raises ValueError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, *_ = first.split(" ", 2)
    if not version.startswith("HTTP/1."):
        raise ValueError(f"{first!r:.80} is not HTTP/1")
    pairs = [line.partition(":") for line in lines if line]
    return int(status), {name.strip().lower(): value.strip() for name, _, value in pairs}


class BodyReader:
    """Takes the framing off a body. ``read`` gives b"" at its end.

    Raises IncompleteReadError where the connection ends before the body.
    """

    def __init__(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> None:
        self._reader = reader
        self._is_chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        length = headers.get("content-length")
        self._left = int(length) if length is not None and not self._is_chunked else None
        self._in_chunk = 0
        self._at_end = False

    async def read(self) -> bytes:
        """Some of what has come."""
        if self._is_chunked:
            return await self._read_chunk()
        if self._left is None:  # up to the end of the connection
            return await self._reader.read(READ_BYTES)
        if self._left == 0:
            return b""
        data = await self._read_some(self._left)
        self._left -= len(data)
        return data

    async def _read_chunk(self) -> bytes:
        if self._at_end:
            return b""
        if self._in_chunk == 0:
            line = await self._reader.readuntil(b"\r\n")
            self._in_chunk = int(line.split(b";", 1)[0], 16)
            if self._in_chunk == 0:
                self._at_end = True
                return b""
        data = await self._read_some(self._in_chunk)
        self._in_chunk -= len(data)
        if self._in_chunk == 0:
            await self._reader.readexactly(2)
        return data

    async def _read_some(self, most: int) -> bytes:
        data = await self._reader.read(min(most, READ_BYTES))
        if not data:
            raise asyncio.IncompleteReadError(data, most)
        return data


class EventSplitter:
    """Cuts a stream of bytes into the data of its events, wherever the pieces end."""

    def __init__(self) -> None:
        self._held = b""

    def push(self, data: bytes) -> list[str]:
        """The events that ``data`` completes."""
        *lines, self._held = (self._held + data).split(b"\n")
        return [
            line[5:].strip().decode("utf-8", "replace")
            for line in lines
            if line.startswith(b"data:")
        ]
