"""A local socket whose other end is an engine far away.

    tunnel = Tunnel(replica, on_end)        # a future: the engine may be placed later
    client = await ProcessClient.connect(await tunnel.open())

Whoever connects to the socket speaks with the engine as if it ran on this machine; several HTTP
processes may. Bytes keep their order, because one call at a time carries those of each direction.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from sglite.errors import EngineDeadError
from sglite.ipc.private_directory import (
    listen_in,
    make_private_directory,
    remove_private_directory,
    socket_path,
)
from sglite.ray_backend.replica_actor import CHUNK_BYTES


class Replica(Protocol):
    """A :class:`ReplicaActor`, wherever it is. Once it is gone, all raise EngineDeadError."""

    async def start(
        self, config: dict[str, Any], watching: dict[str, Any], now_s: float
    ) -> dict[str, Any]:
        """See :meth:`ReplicaActor.start`."""

    async def open(self) -> int | None:
        """See :meth:`ReplicaActor.open`."""

    async def send(self, stream: int, data: bytes) -> None:
        """See :meth:`ReplicaActor.send`."""

    async def receive(self, stream: int) -> bytes:
        """See :meth:`ReplicaActor.receive`."""

    async def close(self, stream: int) -> None:
        """See :meth:`ReplicaActor.close`."""

    async def state(self) -> dict[str, Any]:
        """See :meth:`ReplicaActor.state`."""

    async def stop(self, grace_s: float) -> int | None:
        """See :meth:`ReplicaActor.stop`."""


class Tunnel:
    """Listens in a private directory and joins each connection with a stream of the replica.

    Who connects before there is a replica waits for it.
    ``on_end`` is awaited before a connection is closed because its stream has ended, so that
    whoever knows better than "the stream has ended" can say so first.
    """

    def __init__(
        self, replica: asyncio.Future[Replica], on_end: Callable[[], Awaitable[None]]
    ) -> None:
        self._replica = replica
        self._on_end = on_end
        self._directory: str | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def path(self) -> str | None:
        """Where it listens; None before and after."""
        return None if self._directory is None else socket_path(self._directory)

    async def open(self) -> str:
        """Begin to listen; the path of the socket. Raises ConfigError where there is no place."""
        self._directory = make_private_directory()
        try:
            listener = listen_in(self._directory)
        except BaseException:
            await self.close()
            raise
        self._server = await asyncio.start_unix_server(self._take, sock=listener, limit=CHUNK_BYTES)
        return socket_path(self._directory)

    async def close(self) -> None:
        """Hear nobody any more, and leave nothing. Safe to repeat."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._directory is not None:
            remove_private_directory(self._directory)
            self._directory = None

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._join(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes both ways until one end is gone."""
        stream: int | None = None
        replica: Replica | None = None
        try:
            replica = await asyncio.shield(self._replica)
            stream = await replica.open()
            if stream is None or not await _Joint(replica, stream).carry(reader, writer):
                await self._on_end()
        except EngineDeadError:
            await self._on_end()
        finally:
            writer.close()
            if replica is not None and stream is not None:
                with contextlib.suppress(EngineDeadError):
                    await replica.close(stream)


class _Joint:
    """One connection and its stream."""

    def __init__(self, replica: Replica, stream: int) -> None:
        self._replica = replica
        self._stream = stream

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """True where our end was closed, False where the engine's was. Raises EngineDeadError."""
        up = asyncio.ensure_future(self._carry_up(reader))
        down = asyncio.ensure_future(self._carry_down(writer))
        try:
            done, _ = await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return up in done
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _carry_up(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._replica.send(self._stream, data)

    async def _carry_down(self, writer: asyncio.StreamWriter) -> None:
        while data := await self._replica.receive(self._stream):
            writer.write(data)
            with contextlib.suppress(OSError):  # the other direction tells of its end
                await writer.drain()
