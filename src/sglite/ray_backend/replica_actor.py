"""One engine on a machine of the cluster, and streams of bytes to its socket.

The class knows nothing of Ray: ``ray_cluster`` makes an actor of it, tests use it as it is. What
goes in and comes out is bytes and plain dicts; what fails on purpose is told in the dict, so that
no exception has to travel.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from typing import Any

from sglite.config import EngineConfig
from sglite.errors import SgliteError
from sglite.ipc.engine_launcher import EngineLauncher
from sglite.observability.logging import ensure_logging

CHUNK_BYTES = 64 * 1024
"""Most bytes of one call; Ray sends up to 100 kB along with a call, and stores more than that."""
END_S = 1.0
"""What the process of a dead engine may take to end before its exit code is said to be unknown."""
POLL_S = 0.02

MakeLauncher = Callable[..., EngineLauncher]


class ReplicaActor:
    """Starts an engine beside itself and passes on what is said to it and what it says.

    A stream is one connection to the engine's socket, named by a number. The engine ends with this
    process, however that ends.
    """

    def __init__(self, make_launcher: MakeLauncher = EngineLauncher) -> None:
        self._make_launcher = make_launcher
        self._launcher: EngineLauncher | None = None
        self._streams: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self._numbers = itertools.count(1)

    async def start(
        self, config: dict[str, Any], watching: dict[str, Any], now_s: float
    ) -> dict[str, Any]:
        """Start an engine with these options; one that is there already is ended first.

        ``watching`` are the launcher's own options, ``now_s`` is the caller's monotonic clock: that
        of another machine may show anything. The answer has the engine's ``pid``, or says in
        ``error`` why there is none.
        """
        clock_offset_s = time.monotonic() - now_s
        await self.stop(0.0)
        try:
            options = EngineConfig(**config)
            ensure_logging(options.log_level, style=options.log_format)
            self._launcher = self._make_launcher(options, clock_offset_s=clock_offset_s, **watching)
            await self._launcher.start()
        except (SgliteError, TypeError) as error:  # TypeError: options of another version
            return {"pid": None, "error": str(error)}
        return {"pid": self._launcher.pid, "error": None}

    async def open(self) -> int | None:
        """Connect to the engine; the number of the stream, None where no engine answers."""
        path = None if self._launcher is None else self._launcher.path
        if path is None:
            return None
        try:
            ends = await asyncio.open_unix_connection(path, limit=CHUNK_BYTES)
        except OSError:
            return None
        number = next(self._numbers)
        self._streams[number] = ends
        return number

    async def send(self, stream: int, data: bytes) -> None:
        """Write to the engine; what it can no longer read is lost, as :meth:`receive` will tell."""
        if stream in self._streams:
            writer = self._streams[stream][1]
            writer.write(data)
            try:
                await writer.drain()
            except OSError:
                return

    async def receive(self, stream: int) -> bytes:
        """What the engine has said since the last call, at least a byte; b"" once it has ended."""
        if stream not in self._streams:
            return b""
        try:
            return await self._streams[stream][0].read(CHUNK_BYTES)
        except OSError:
            return b""

    async def close(self, stream: int) -> None:
        """End a stream; the engine aborts what it had asked for."""
        ends = self._streams.pop(stream, None)
        if ends is not None:
            ends[1].close()
            with contextlib.suppress(OSError):
                await ends[1].wait_closed()

    async def state(self) -> dict[str, Any]:
        """``exit_code`` of the engine's process and ``reason`` of its end; None while it lives.

        One that has said its last word may take a moment to end.
        """
        launcher = self._launcher
        if launcher is None:
            return {"exit_code": None, "reason": "it has not been started"}
        client = launcher.client
        if client is None or client.is_alive:
            return {"exit_code": launcher.exit_code, "reason": None}
        deadline_s = time.monotonic() + END_S
        while launcher.exit_code is None and time.monotonic() < deadline_s:
            await asyncio.sleep(POLL_S)
        return {"exit_code": launcher.exit_code, "reason": client.died.result()}

    async def stop(self, grace_s: float) -> int | None:
        """End the engine, by force after ``grace_s``; its exit code. Safe to repeat."""
        for stream in list(self._streams):
            await self.close(stream)
        return None if self._launcher is None else await self._launcher.stop(grace_s)
