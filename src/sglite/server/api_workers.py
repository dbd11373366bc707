"""``--api-workers``: further HTTP processes, seen from the first, which starts and ends them.

    this process ── lifecycle, engine's launcher, HTTP process 0
        ├── api_worker 1 ─┐ each with a socket of its own on the same port,
        └── api_worker 2 ─┘ and a connection of its own to each engine

The end of one that nobody asked for is a failure of the server (R21).
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from sglite.config import ServerConfig
from sglite.errors import EngineDeadError
from sglite.ipc.spawning import Child
from sglite.server.listen import bind_beside
from sglite.server.worker_messages import Drain, EnginesAt, Stop, WorkerSettings

MODULE = "sglite.server.api_worker"
EXTRA_STOP_S = 5.0
"""What a process may take to end beyond the time that its calls have."""
STARTING_STOP_S = 1.0
"""The same for one that may not listen to us yet."""


class ApiWorkers:
    """All HTTP processes but the first. ``fault`` says which has ended unasked, if one has."""

    def __init__(self, config: ServerConfig, directory: Path, sock: socket.socket) -> None:
        self.fault: str | None = None
        self._config = config
        self._directory = directory
        self._socket = sock
        self._children: list[Child] = []
        self._watches: list[asyncio.Task[None]] = []
        self._is_stopping = False

    async def start(self, engine_paths: dict[int, str]) -> None:
        """Start them; they load while the engine does. Raises EngineDeadError."""
        for number in range(1, self._config.api_workers):
            try:
                self._children.append(await self._start(number, engine_paths))
            except OSError as error:
                message = f"HTTP process {number} cannot be started: {error}"
                raise EngineDeadError(message) from error

    async def _start(self, number: int, engine_paths: dict[int, str]) -> Child:
        with bind_beside(self._socket) as listener:
            settings = WorkerSettings(
                config=self._config.to_dict(),
                directory=str(self._directory),
                listen_fd=listener.fileno(),
                engine_paths=engine_paths,
                number=number,
            )
            child = await Child.start(MODULE, pass_fds=(listener.fileno(),))
        child.send(settings)
        return child

    async def wait_ready(self) -> None:
        """Return when all of them serve. Raises EngineDeadError where one has ended."""
        for number, child in enumerate(self._children, start=1):
            try:
                await child.receive()
            except EOFError:
                raise EngineDeadError(
                    f"HTTP process {number} has ended; the log above has the cause"
                ) from None
            self._watches.append(asyncio.ensure_future(self._watch(number, child)))

    def tell(self, engine_paths: dict[int, str]) -> None:
        """The engines are now there: one has been started again, or there are more or fewer."""
        for child in self._children:
            child.send(EnginesAt(engine_paths))

    def drain(self) -> None:
        """Let them finish what runs and end."""
        self._is_stopping = True
        for child in self._children:
            child.send(Drain())

    def stop_now(self) -> None:
        """Let them end without waiting for what runs."""
        self._is_stopping = True
        for child in self._children:
            child.send(Stop())

    async def stop(self) -> None:
        """Wait until they have ended, by force where they are late."""
        if not self._is_stopping:
            self.stop_now()
        is_serving = len(self._watches) == len(self._children)
        serving_s = self._config.drain_timeout_s + EXTRA_STOP_S
        timeout_s = serving_s if is_serving else STARTING_STOP_S
        await asyncio.gather(*(child.wait(timeout_s) for child in self._children))
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*(child.kill() for child in self._children))

    async def _watch(self, number: int, child: Child) -> None:
        """They say nothing more: the end of the stream is the end of the process."""
        try:
            await child.receive()
        except EOFError:
            if not self._is_stopping:
                self.fault = f"HTTP process {number} has ended with {await child.wait(1.0)}"
