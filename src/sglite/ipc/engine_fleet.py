"""Starts the engines of a fleet, watches them, and starts those again that have ended.

    fleet = EngineFleet(make_launcher, num_engines=4, client=FleetClient(...))
    client = await fleet.start()             # at once; the models load meanwhile
    await fleet.wait_ready()                 # all of them
    ...
    await fleet.stop(grace_s=5)

Each engine is a tree of processes of its own, and the others outlive it. One that ends is started
again after a delay that doubles each time it does not last, for ever. A failure at the first start
is the caller's: options or model are bad then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sglite.errors import EngineDeadError, SgliteError
from sglite.ipc.fleet_client import FleetClient
from sglite.ipc.messages import Ready
from sglite.ipc.process_client import ProcessClient
from sglite.observability.logging import log_event

logger = logging.getLogger(__name__)

FIRST_DELAY_S = 1.0
MAX_DELAY_S = 30.0
LASTING_S = 60.0
"""An engine that ran so long has recovered: the next delay is the first one again."""
END_S = 10.0
"""What an engine that is dead to us may take to end, with its stacks in the log."""
POLL_S = 0.1


class Launcher(Protocol):
    """Starts one engine, once, wherever that is; ``EngineLauncher`` does it on this machine.

    ``exit_code`` is there when it has ended, ``path`` is the socket where further HTTP processes
    connect, None where there is none.
    """

    exit_code: int | None

    @property
    def path(self) -> str | None:
        """See above."""

    async def start(self) -> ProcessClient:
        """Start it; it may load after that. Raises ConfigError, EngineDeadError."""

    async def wait_ready(self, timeout_s: float | None = None) -> Ready:
        """What the engine is, once it is. Raises ConfigError, EngineDeadError."""

    async def stop(self, grace_s: float) -> int | None:
        """End it, by force after ``grace_s``, and leave nothing of it. Safe to repeat."""


@dataclass(eq=False, slots=True)
class _Place:
    """A number among the engines, and the launcher of the engine that has it now."""

    number: int
    launcher: Launcher
    client: ProcessClient | None = None
    is_up: bool = False
    is_retired: bool = False
    task: asyncio.Task[None] | None = None


class EngineFleet:
    """A number of engines, which may grow and shrink. ``client`` routes to those that are up.

    ``on_change`` is called whenever :attr:`paths` is different. ``clock`` and ``sleep`` are for
    tests.
    """

    def __init__(
        self,
        make_launcher: Callable[[int], Launcher],
        client: FleetClient,
        *,
        num_engines: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self.client = client
        self.on_change: Callable[[], None] = lambda: None
        self._make_launcher = make_launcher
        self._num_engines = num_engines
        self._clock = clock
        self._sleep = sleep
        self._places: dict[int, _Place] = {}
        self._is_stopping = False

    @property
    def numbers(self) -> list[int]:
        """The engines that there are, also those that load or are about to be started again."""
        return sorted(number for number, place in self._places.items() if not place.is_retired)

    @property
    def paths(self) -> dict[int, str]:
        """The sockets of the engines that load or are up, and are to stay."""
        pairs = ((number, self._places[number].launcher.path) for number in self.numbers)
        return {number: path for number, path in pairs if path is not None}

    # -- the first start ---------------------------------------------------------------------------

    async def start(self) -> FleetClient:
        """Start all engines, which begin to load; returns their client.

        Raises ConfigError, EngineDeadError; :meth:`stop` what has been started then.
        """
        for number in range(self._num_engines):
            self._places[number] = place = _Place(number, self._make_launcher(number))
            await self._launch(place)
        return self.client

    async def wait_ready(self, timeout_s: float | None = None) -> Ready:
        """What fits all engines, once all are ready; from then on they are watched.

        Raises ConfigError where they cannot be made from these options or this model,
        EngineDeadError where one fails.
        """
        places = [self._places[number] for number in range(self._num_engines)]
        await asyncio.gather(*(place.launcher.wait_ready(timeout_s) for place in places))
        for place in places:
            await self._join(place)
            self._tend(place)
        if self.client.ready is None:
            raise EngineDeadError("all engines have ended")
        return self.client.ready

    async def stop(self, grace_s: float) -> None:
        """End all engines; what is open fails. Safe to repeat."""
        self._is_stopping = True
        self.client.close()
        places = list(self._places.values())
        for place in places:
            if place.task is not None:
                place.task.cancel()
        await asyncio.gather(*(place.launcher.stop(grace_s) for place in places))

    # -- growing and shrinking ---------------------------------------------------------------------

    def add(self) -> int:
        """Start one engine more, in the background; its number, the lowest that is free."""
        number = next(n for n in range(len(self._places) + 1) if n not in self._places)
        self._places[number] = place = _Place(number, self._make_launcher(number))
        self._tend(place)
        return number

    async def remove(self, number: int, grace_s: float) -> None:
        """End an engine: it gets nothing new, and what it has may take ``grace_s``.

        Its number is free after that. Raises KeyError.
        """
        place = self._places[number]
        place.is_retired = True
        self.client.retire(number)
        self.on_change()
        end_s = self._clock() + grace_s
        while _is_busy(place.client) and self._clock() < end_s:
            await self._sleep(POLL_S)
        if place.task is not None:
            place.task.cancel()
        await place.launcher.stop(min(grace_s, END_S))
        del self._places[number]

    # -- one engine --------------------------------------------------------------------------------

    def _tend(self, place: _Place) -> None:
        place.task = asyncio.get_running_loop().create_task(self._keep_up(place))

    async def _keep_up(self, place: _Place) -> None:
        """See to it that there is an engine with this number, until the task is cancelled."""
        delay_s = FIRST_DELAY_S
        if not place.is_up:
            await self._try_start(place)
        while True:
            if place.is_up and place.client is not None:
                up_s = self._clock()
                await asyncio.shield(place.client.died)
                place.is_up = False
                if self._clock() - up_s >= LASTING_S:
                    delay_s = FIRST_DELAY_S
            await place.launcher.stop(END_S)
            if place.is_retired:
                return
            log_event(
                logger, logging.WARNING, "engine_restarts", engine=place.number,
                exit_code=place.launcher.exit_code, after_s=delay_s,
            )  # fmt: skip
            await self._sleep(delay_s)
            delay_s = min(2 * delay_s, MAX_DELAY_S)
            place.launcher = self._make_launcher(place.number)
            await self._try_start(place)

    async def _try_start(self, place: _Place) -> None:
        """Start the place's engine. What fails is logged: it is tried again."""
        try:
            await self._launch(place)
            self.on_change()
            await place.launcher.wait_ready()
            await self._join(place)
        except SgliteError as error:
            cause = str(error)
            log_event(logger, logging.ERROR, "engine_not_back", engine=place.number, cause=cause)
        except Exception:
            # A fault of ours, or of what a launcher stands on: the other engines still serve.
            logger.exception("engine_start_failed")

    async def _launch(self, place: _Place) -> None:
        place.client = await place.launcher.start()
        self.client.expect(place.number, place.client)

    async def _join(self, place: _Place) -> None:
        if place.client is not None and not place.is_retired:
            place.is_up = await self.client.join(place.number, place.client)
            if place.is_up:
                log_event(logger, logging.INFO, "engine_joined", engine=place.number)


def _is_busy(client: ProcessClient | None) -> bool:
    """Whether an engine lives and has requests, of this process or, at its last heartbeat, any."""
    if client is None or not client.is_alive:
        return False
    beat = client.heartbeat
    return client.open_count > 0 or (beat is not None and beat.num_running + beat.num_waiting > 0)
