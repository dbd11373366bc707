"""Connects a further HTTP process to engines that the first one starts, and starts again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from sglite.errors import EngineDeadError
from sglite.ipc.fleet_client import FleetClient
from sglite.ipc.fleet_member import EngineClient
from sglite.ipc.messages import Ready
from sglite.ipc.process_client import ProcessClient
from sglite.observability.logging import log_event

logger = logging.getLogger(__name__)

Connect = Callable[[str], Awaitable[ProcessClient]]


class FleetFollower:
    """Keeps ``client`` connected to the engines at the sockets that it is told.

    An engine that is started again has another socket.
    """

    def __init__(self, client: FleetClient, connect: Connect = ProcessClient.connect) -> None:
        self.client = client
        self._connect = connect
        self._paths: dict[int, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def wait_ready(self, paths: Mapping[int, str]) -> Ready:
        """Connect to the first engines; what fits all of them, once they are ready.

        Raises EngineDeadError where one ends before.
        """
        self._paths = dict(paths)
        found = await asyncio.gather(*(self._reach(number) for number in sorted(paths)))
        for number, client in zip(sorted(paths), found, strict=True):
            await self.client.join(number, client)
        if self.client.ready is None:
            raise EngineDeadError("all engines have ended")
        return self.client.ready

    def follow(self, paths: Mapping[int, str]) -> None:
        """These are the engines now: connect to those that are new, retire those that are left
        out.
        """
        known, self._paths = self._paths, dict(paths)
        for number in known.keys() - paths.keys():
            self.client.retire(number)
        for number, path in paths.items():
            if known.get(number) != path:
                task = asyncio.get_running_loop().create_task(self._take_in(number))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _take_in(self, number: int) -> None:
        """Connect to one engine. If that ends meanwhile, the next one has another socket."""
        try:
            await self.client.join(number, await self._reach(number))
        except EngineDeadError as error:
            log_event(
                logger, logging.WARNING, "engine_not_reached", engine=number, cause=str(error)
            )

    async def _reach(self, number: int) -> EngineClient:
        client = await self._connect(self._paths[number])
        self.client.expect(number, client)
        await client.wait_ready()
        return client
