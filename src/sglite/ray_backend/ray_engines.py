"""A fleet whose engines are actors of a Ray cluster, and as many of them as the queue asks for.

engines = make_ray_engines(config, make_fleet)
client = await engines.start()
await engines.wait_ready()               # from now on it may grow and shrink
...
await engines.stop(grace_s=5)
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol

from sglite.config import EngineConfig, ServerConfig
from sglite.errors import SgliteError
from sglite.ipc.messages import Heartbeat, Ready
from sglite.observability.logging import log_event
from sglite.ray_backend.autoscaler import FleetLoad, ScalingRules, ScalingState, decide
from sglite.ray_backend.ray_cluster import RayCluster
from sglite.ray_backend.ray_launcher import RayLauncher

logger = logging.getLogger(__name__)

TURN_S = 1.0
"""How often the queue is looked at."""


class Engine(Protocol):
    """One engine of a fleet."""

    @property
    def open_count(self) -> int:
        """Requests that have not ended."""


class FleetClient(Protocol):
    """What the scaling sees of a fleet's client."""

    @property
    def open_count(self) -> int:
        """Requests of this process that have not ended, also those that no engine has yet."""

    @property
    def heartbeat(self) -> Heartbeat | None:
        """Sums over all engines."""

    @property
    def engines(self) -> Mapping[int, Engine]:
        """The engines that serve, by number."""


class Fleet(Protocol):
    """What starts engines, starts them again, and routes to them: ``ipc.engine_fleet``."""

    @property
    def client(self) -> Any:
        """A :class:`FleetClient`."""

    @property
    def numbers(self) -> list[int]:
        """All engines but those that are about to go."""

    @property
    def paths(self) -> dict[int, str]:
        """The sockets of the engines."""

    async def start(self) -> Any:
        """Start the first engines; returns their client."""

    async def wait_ready(self, timeout_s: float | None = None) -> Ready:
        """What fits them, once all are ready."""

    async def stop(self, grace_s: float) -> None:
        """End all of them."""

    def add(self) -> int:
        """Start one more, in the background; its number."""

    async def remove(self, number: int, grace_s: float) -> None:
        """End one: it gets nothing new, and what it has may take ``grace_s``."""


class RayEngines:
    """A fleet in a cluster. ``clock`` is for tests."""

    def __init__(
        self,
        fleet: Fleet,
        cluster: RayCluster,
        rules: ScalingRules,
        *,
        drain_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet = fleet
        self._cluster = cluster
        self._rules = rules
        self._drain_timeout_s = drain_timeout_s
        self._clock = clock
        self._state = ScalingState()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def paths(self) -> dict[int, str]:
        """The sockets of the engines, by number."""
        return self._fleet.paths

    async def start(self) -> Any:
        """Start the first engines; returns their client. Raises ConfigError, EngineDeadError."""
        return await self._fleet.start()

    async def wait_ready(self, timeout_s: float | None = None) -> Ready:
        """What fits all engines, once all are ready; their number follows the queue from then on.

        Raises ConfigError where the cluster has no room for them, or they cannot be made from
        these options or this model; EngineDeadError where one fails.
        """
        ready = await self._fleet.wait_ready(timeout_s)
        if self._rules.min_engines < self._rules.max_engines:
            self._keep(self._follow_queue())
        return ready

    async def stop(self, grace_s: float) -> None:
        """End the engines and their actors, and leave the cluster. Safe to repeat."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._fleet.stop(grace_s)
        await self._cluster.close()

    # -- scaling -----------------------------------------------------------------------------------

    async def _follow_queue(self) -> None:
        while True:
            await asyncio.sleep(TURN_S)
            self.turn()

    def turn(self) -> None:
        """Look at the queue once; start an engine, or begin to end one, where that is due."""
        load = self._load()
        self._state, wanted = decide(self._rules, self._state, load, self._clock())
        if wanted > load.num_engines:
            number = self._fleet.add()
            self._log("ray_scales_up", number, load)
        elif wanted < load.num_engines:
            number = self._least_busy()
            self._log("ray_scales_down", number, load)
            self._keep(self._remove(number))

    def _load(self) -> FleetLoad:
        client: FleetClient = self._fleet.client
        numbers, beat = self._fleet.numbers, client.heartbeat
        # Those of other HTTP processes are seen by the engines alone.
        at_engines = 0 if beat is None else beat.num_running + beat.num_waiting
        num_ready = len(set(numbers).intersection(client.engines))
        return FleetLoad(len(numbers), num_ready, max(client.open_count, at_engines))

    def _least_busy(self) -> int:
        """The engine to do without: one that still loads, or has the fewest requests."""
        engines: Mapping[int, Engine] = self._fleet.client.engines

        def cost(number: int) -> tuple[int, int]:
            engine = engines.get(number)
            return (-1 if engine is None else engine.open_count, -number)

        return min(self._fleet.numbers, key=cost)

    async def _remove(self, number: int) -> None:
        try:
            await self._fleet.remove(number, self._drain_timeout_s)
            await self._cluster.give_up(number)
        except SgliteError as error:
            cause = str(error)
            log_event(logger, logging.ERROR, "ray_scale_down_failed", engine=number, cause=cause)

    def _log(self, event: str, number: int, load: FleetLoad) -> None:
        log_event(
            logger, logging.INFO, event, engine=number,
            engines=load.num_engines, open_requests=load.num_open,
        )  # fmt: skip

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def make_ray_engines(
    config: ServerConfig,
    make_fleet: Callable[[Callable[[int], RayLauncher], int], Fleet],
    **watching: Any,
) -> RayEngines:
    """The engines of ``--backend ray``; blocks until the cluster answers.

    ``make_fleet`` gets what makes the launcher of an engine, and how many start at first;
    ``watching`` are further options of the engines' launchers. Raises ConfigError.
    """
    rules = scaling_rules(config)
    cluster = RayCluster.connect(config, rules.max_engines)
    engine = engine_options(config)

    def launch(number: int) -> RayLauncher:
        limit_s = config.watchdog_timeout_s
        return RayLauncher(engine, cluster.seat(number), watchdog_timeout_s=limit_s, **watching)

    fleet = make_fleet(launch, max(rules.min_engines, min(_num_engines(config), rules.max_engines)))
    return RayEngines(fleet, cluster, rules, drain_timeout_s=config.drain_timeout_s)


def scaling_rules(config: ServerConfig) -> ScalingRules:
    """How many engines there may be. Raises ConfigError where the options contradict."""
    num_engines = _num_engines(config)
    least = config.min_replicas or min(num_engines, config.max_replicas or num_engines)
    most = config.max_replicas or max(num_engines, least)
    return ScalingRules(least, most, config.scale_up_requests)


def engine_options(config: ServerConfig) -> EngineConfig:
    """The options of each engine, wherever it runs.

    What is named by a path has to be there on every machine; a hub id is looked up by each.
    """
    engine = config.engine_config()
    changes: dict[str, Any] = {} if config.enable_dp_attention else {"dp_size": 1}
    for option in ("model_path", "tokenizer_path", "chat_template"):
        path = getattr(config, option)
        if path is not None and Path(path).exists():
            changes[option] = str(Path(path).absolute())
    return engine.replace(**changes)


def _num_engines(config: ServerConfig) -> int:
    """With DP-attention the parts are those of one engine."""
    return 1 if config.enable_dp_attention else config.dp_size
