"""Starts an engine in an actor of the cluster, watches it and ends it.

    launcher = RayLauncher(config, seat)
    client = await launcher.start()          # at once; Ray places the actor meanwhile
    ready = await launcher.wait_ready(600)

The face is that of ``ipc.engine_launcher.EngineLauncher``. The actor outlives its engines: after
the end of one, another launcher starts the next in the same actor. Where the actor itself is gone
Ray restarts it, on another machine if need be, and the next start waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any, Protocol

from sglite.config import EngineConfig
from sglite.errors import ConfigError, EngineDeadError, SgliteError
from sglite.ipc.engine_settings import EXIT_BAD_CONFIG
from sglite.ipc.messages import Ready
from sglite.ipc.process_client import ProcessClient
from sglite.observability.logging import log_event
from sglite.ray_backend.placement import with_share_of_machine
from sglite.ray_backend.tunnel import Replica, Tunnel

logger = logging.getLogger(__name__)

LAST_WORDS_S = 0.2
"""What the last messages of an engine may take from our end of the tunnel to the client."""
BESIDES_WATCHDOG_S = 5.0
"""How much longer than the actor, which sees more, we wait for a sign of the engine's life."""
CALL_S = 10.0
"""What an actor may take to answer a short call before it counts as gone."""


class Seat(Protocol):
    """A place of the cluster for one engine at a time: an actor and what is reserved for it."""

    @property
    def name(self) -> str:
        """For people: which replica it is."""

    @property
    def num_neighbours(self) -> int:
        """How many engines share cores and memory of the actor's machine, this one too."""

    async def replica(self) -> Replica:
        """The actor, once it runs. Raises ConfigError where the cluster has no room for it."""


class RayLauncher:
    """One engine in an actor; ``watching`` are further options of the launcher there.

    ``client`` is there after :meth:`start`, ``pid`` once the process has been started. The process
    ends with ``exit_code``, negative for a signal; None as long as it is not known, and where the
    actor went with it.
    """

    def __init__(
        self,
        config: EngineConfig,
        seat: Seat,
        *,
        watchdog_timeout_s: float = 60.0,
        **watching: Any,
    ) -> None:
        self.client: ProcessClient | None = None
        self.exit_code: int | None = None
        self.pid: int | None = None
        self._config = config
        self._seat = seat
        self._watchdog_timeout_s = watchdog_timeout_s
        self._watching = {"watchdog_timeout_s": watchdog_timeout_s, **watching}
        self._replica: asyncio.Future[Replica] | None = None
        self._tunnel: Tunnel | None = None
        self._fault: SgliteError | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def path(self) -> str | None:
        """Where further API processes connect; None before the start and after the end."""
        return None if self._tunnel is None else self._tunnel.path

    async def start(self) -> ProcessClient:
        """Begin to start the engine; returns its client. Raises ConfigError, EngineDeadError."""
        self._replica = asyncio.get_running_loop().create_future()
        self._tunnel = Tunnel(self._replica, self._take_end)
        try:
            client = self.client = await ProcessClient.connect(await self._tunnel.open())
        except BaseException:
            await self.stop(0.0)
            raise
        self._keep(self._begin(client, self._replica))
        self._keep(self._watch(client))
        return client

    async def wait_ready(self, timeout_s: float | None = None) -> Ready:
        """What the engine is, once it is.

        Raises ConfigError where the cluster has no room for it, or it cannot be made from these
        options or this model; EngineDeadError where it fails or takes longer than ``timeout_s``.
        """
        if self.client is None:
            raise EngineDeadError("the engine has not been started")
        try:
            return await asyncio.wait_for(self.client.wait_ready(), timeout_s)
        except asyncio.TimeoutError:
            message = f"{self._seat.name} was not ready after {timeout_s:g} s"
            raise EngineDeadError(message) from None
        except EngineDeadError as error:
            if self._fault is not None:
                raise self._fault from None
            await self._learn_end()
            if self.exit_code == EXIT_BAD_CONFIG:
                raise ConfigError(f"{self._seat.name}: {error}") from None
            raise

    async def stop(self, grace_s: float) -> int | None:
        """End the engine, by force after ``grace_s``; what is open is aborted. Safe to repeat.

        The actor stays. Returns the exit code of the process, None where it is not known.
        """
        for task in self._tasks:
            task.cancel()
        replica = self._known_replica()
        if replica is not None:
            with contextlib.suppress(EngineDeadError, asyncio.TimeoutError):
                code = await asyncio.wait_for(replica.stop(grace_s), grace_s + CALL_S)
                self.exit_code = self.exit_code if code is None else code
        if self.client is not None:
            self.client.declare_dead("the engine was stopped")
        if self._tunnel is not None:
            await self._tunnel.close()
        return self.exit_code

    # -- the start ---------------------------------------------------------------------------------

    async def _begin(self, client: ProcessClient, found: asyncio.Future[Replica]) -> None:
        try:
            replica = await self._seat.replica()
            await self._start_engine(replica)
        except SgliteError as error:
            self._fault = error
            client.declare_dead(str(error))
        else:
            found.set_result(replica)

    async def _start_engine(self, replica: Replica) -> None:
        config = with_share_of_machine(self._config, self._seat.num_neighbours)
        begun = await replica.start(config.to_dict(), self._watching, time.monotonic())
        if begun["error"] is not None:
            raise ConfigError(f"{self._seat.name}: {begun['error']}")
        self.pid = begun["pid"]

    # -- the end -----------------------------------------------------------------------------------

    async def _take_end(self) -> None:
        """A stream has ended from afar: tell the client why before it sees that it has."""
        reason = await self._learn_end()
        log_event(logger, logging.ERROR, "ray_engine_ended", replica=self._seat.name, reason=reason)
        if self.client is not None:
            self.client.declare_dead(f"{self._seat.name}: {reason}")

    async def _learn_end(self) -> str:
        """Why the engine has ended, as far as its actor can tell."""
        replica = self._known_replica()
        if replica is None:
            return "it has not been started"
        try:
            await asyncio.sleep(LAST_WORDS_S)
            state = await asyncio.wait_for(replica.state(), CALL_S)
        except asyncio.TimeoutError:
            return f"its Ray actor has not answered for {CALL_S:g} s"
        except EngineDeadError as error:
            return str(error)
        self.exit_code = state["exit_code"]
        return state["reason"] or "its connection has ended"

    def _known_replica(self) -> Replica | None:
        replica = self._replica
        return replica.result() if replica is not None and replica.done() else None

    async def _watch(self, client: ProcessClient) -> None:
        """Look at the heartbeat until the engine is dead, or has not been heard of for too long."""
        limit_s = self._watchdog_timeout_s + BESIDES_WATCHDOG_S
        interval_s = min(1.0, limit_s / 4)
        while client.is_alive:
            before_s = time.monotonic()
            await asyncio.sleep(interval_s)
            # If our own loop stood still, heartbeats lie unread: look again in a moment.
            was_late = time.monotonic() - before_s > 2 * interval_s
            if client.heartbeat_age_s > limit_s and not was_late:
                client.declare_dead(
                    f"{self._seat.name} has not been heard of for {client.heartbeat_age_s:.0f} s"
                )

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
