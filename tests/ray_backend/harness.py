"""Replicas without Ray: the actor's own class in this process, over an engine of the tests."""

from __future__ import annotations

import asyncio
from typing import Any

from sglite.config import EngineConfig
from sglite.errors import ConfigError, EngineDeadError
from sglite.ipc.process_client import ProcessClient
from sglite.ray_backend.replica_actor import ReplicaActor
from sglite.ray_backend.tunnel import Replica
from tests.ipc.harness import Served


async def turns(count: int = 3) -> None:
    """Let the loop close what was told to close."""
    for _ in range(count):
        await asyncio.sleep(0)


class ServedLauncher:
    """The launcher in the actor; its engine is a ``Served`` that the test owns."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.client: ProcessClient | None = None
        self.exit_code: int | None = None
        self.pid = 4711
        self.path: str | None = None
        self.fault: Exception | None = None
        self.made_with: tuple[EngineConfig, dict[str, Any]] | None = None
        self.stops: list[float] = []

    def make(self, config: EngineConfig, **watching: Any) -> ServedLauncher:
        self.made_with = (config, watching)
        return self

    async def start(self) -> ProcessClient:
        if self.fault is not None:
            raise self.fault
        self.path = self.served.path
        self.client = await ProcessClient.connect(self.served.path)
        return self.client

    async def stop(self, grace_s: float) -> int | None:
        self.stops.append(grace_s)
        if self.client is not None:
            self.client.declare_dead("stopped")
        return self.exit_code

    def end(self, exit_code: int, reason: str) -> None:
        """The process has ended, as the actor sees it."""
        self.exit_code = exit_code
        assert self.client is not None
        self.client.declare_dead(reason)


class LocalReplica:
    """Calls of an actor that may go at any moment; all that wait fail then, as with Ray."""

    def __init__(self, actor: ReplicaActor) -> None:
        self.actor = actor
        self.calls: list[str] = []
        self._gone = asyncio.get_running_loop().create_future()

    def lose(self) -> None:
        if not self._gone.done():
            self._gone.set_result(None)

    def __getattr__(self, method: str) -> Any:
        async def call(*arguments: Any) -> Any:
            self.calls.append(method)
            work = asyncio.ensure_future(getattr(self.actor, method)(*arguments))
            await asyncio.wait({work, self._gone}, return_when=asyncio.FIRST_COMPLETED)
            if self._gone.done():
                work.cancel()
                raise EngineDeadError("its actor is gone")
            return work.result()

        return call


class FakeSeat:
    """Gives out replicas in turn; ``is_open`` is set while there is room."""

    name = "replica 0"

    def __init__(self, *replicas: Replica, num_neighbours: int = 1) -> None:
        self.num_neighbours = num_neighbours
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.why_none: str | None = None
        self._replicas = list(replicas)

    async def replica(self) -> Replica:
        await self.is_open.wait()
        if self.why_none is not None:
            raise ConfigError(self.why_none)
        return self._replicas.pop(0)
