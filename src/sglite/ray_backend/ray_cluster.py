"""The one module that knows Ray: connecting, placing actors, calling them.

    cluster = RayCluster.connect(config, num_replicas)
    launcher = RayLauncher(engine_config, cluster.seat(0))
    ...
    await cluster.give_up(0)       # the actor and what is reserved for it
    await cluster.close()

An actor has a placement group of one bundle. Ray restarts it whenever it ends, on another machine
where its own is gone; what it is asked meanwhile fails at once (no task is tried again).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator
from typing import Any

from sglite.config import ServerConfig
from sglite.config_sources import set_default_environment
from sglite.errors import ConfigError, EngineDeadError
from sglite.observability.logging import log_event
from sglite.ray_backend.placement import GPU, bundle_of, num_places, shortage_of
from sglite.ray_backend.replica_actor import ReplicaActor

logger = logging.getLogger(__name__)

PLACE_S = 120.0
"""What an actor may take to be placed, or placed again, and to start."""
RETRY_S = 0.25
OBJECT_STORE_BYTES = 80 * 2**20
"""Of a cluster that we start; nothing of ours is stored, and Ray wants 75 MB at least."""


class RayCluster:
    """A connection to a cluster, and the seats of our engines in it."""

    def __init__(self, ray: Any, config: ServerConfig, num_replicas: int) -> None:
        self._ray = ray
        self._config = config
        self._num_replicas = num_replicas
        self._seats: dict[int, RaySeat] = {}

    @classmethod
    def connect(cls, config: ServerConfig, num_replicas: int) -> RayCluster:
        """Join the cluster that the options name, or is known here, or a new one on this machine.

        At most ``num_replicas`` engines are going to share it. Blocks for seconds; call it in the
        main thread. ConfigError where Ray is not installed or the cluster does not answer.
        """
        if config.ray_address is None:
            prepare_own_cluster()
        ray = import_ray()
        with _signals_kept():
            _join(ray, config.ray_address)
        return cls(ray, config, num_replicas)

    def seat(self, number: int) -> RaySeat:
        """The place of engine ``number``; made when its actor is first asked for."""
        if number not in self._seats:
            self._seats[number] = RaySeat(
                self._ray, self._config, f"replica {number}", self._num_replicas
            )
        return self._seats[number]

    async def give_up(self, number: int) -> None:
        """End the actor of engine ``number`` and free what it had reserved."""
        seat = self._seats.pop(number, None)
        if seat is not None:
            await seat.give_up()

    async def close(self) -> None:
        """Give up every seat and leave the cluster; one that we started ends."""
        for number in list(self._seats):
            await self.give_up(number)
        await asyncio.to_thread(self._ray.shutdown)


class RaySeat:
    """A placement group with one bundle, and the actor in it."""

    def __init__(self, ray: Any, config: ServerConfig, name: str, num_replicas: int) -> None:
        self.name = name
        self.num_neighbours = 1
        self._ray = ray
        self._config = config
        self._num_replicas = num_replicas
        self._is_given_up = False
        self._group: Any = None
        self._actor: Any = None
        self._bundle: dict[str, float] = {}

    async def replica(self) -> RayReplica:
        """The actor, once it runs; Ray has :data:`PLACE_S` to place and start it.

        Raises ConfigError where it never could, EngineDeadError where it cannot any more.
        """
        was_placed = self._actor is not None
        replica = None
        with contextlib.suppress(asyncio.TimeoutError):
            replica = await asyncio.wait_for(self._wait_for_actor(), PLACE_S)
        if replica is not None:
            return replica
        message = (
            f"{self.name} could not be placed in {PLACE_S:g} s: "
            f"{shortage_of(self._bundle, self._node_resources())}; add machines to the cluster, or "
            "lower --dp, --tp or --ray-replica-cpus"
        )
        raise EngineDeadError(message) if was_placed else ConfigError(message)

    async def give_up(self) -> None:
        """End the actor for good and free its bundle."""
        self._is_given_up = True
        await asyncio.to_thread(self._release)

    async def _wait_for_actor(self) -> RayReplica:
        while True:
            if self._actor is None:
                await asyncio.to_thread(self._place)
            replica = RayReplica(self._ray, self._actor, self.name)
            try:
                await self._actor.state.remote()
                self.num_neighbours = await asyncio.to_thread(self._count_places)
                return replica
            except self._ray.exceptions.ActorUnavailableError:
                await asyncio.sleep(RETRY_S)  # Ray restarts it
            except self._ray.exceptions.RayError as error:
                log_event(logger, logging.WARNING, "ray_actor_lost", cause=_first_line(error))
                await asyncio.to_thread(self._release)
                await asyncio.sleep(RETRY_S)

    def _place(self) -> None:
        """Ask Ray for a place and for an actor there, which come when they come.

        In a thread, which goes on where whoever waited for it is cancelled.
        """
        ray, config = self._ray, self._config
        bundle = bundle_of(config, self._node_resources(), self._num_replicas)
        self._bundle = bundle
        self._group = ray.util.placement_group([bundle], strategy="STRICT_PACK")
        strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(self._group, 0)
        actor_class = ray.remote(ReplicaActor).options(
            num_cpus=bundle["CPU"],
            num_gpus=bundle.get("GPU", 0),
            max_restarts=-1,
            max_task_retries=0,
            scheduling_strategy=strategy,
        )
        self._actor = actor_class.remote()
        if self._is_given_up:
            self._release()

    def _release(self) -> None:
        actor, group = self._actor, self._group
        self._actor = self._group = None
        with contextlib.suppress(self._ray.exceptions.RayError):
            if actor is not None:
                self._ray.kill(actor)
            if group is not None:
                self._ray.util.remove_placement_group(group)

    def _count_places(self) -> int:
        """How many such engines the actor's machine has room for; on GPUs each has its own."""
        if GPU in self._bundle:
            return 1
        placed = self._ray.util.placement_group_table(self._group)["bundles_to_node_id"]
        nodes = {node["NodeID"]: node["Resources"] for node in self._ray.nodes()}
        return max(1, num_places(self._bundle, nodes.get(placed.get(0), {})))

    def _node_resources(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]


class RayReplica:
    """The methods of a :class:`ReplicaActor`, as calls of the actor."""

    def __init__(self, ray: Any, actor: Any, name: str) -> None:
        self._ray = ray
        self._actor = actor
        self._name = name

    async def start(
        self, config: dict[str, Any], watching: dict[str, Any], now_s: float
    ) -> dict[str, Any]:
        """See :meth:`ReplicaActor.start`."""
        begun: dict[str, Any] = await self._call("start", config, watching, now_s)
        return begun

    async def open(self) -> int | None:
        """See :meth:`ReplicaActor.open`."""
        stream: int | None = await self._call("open")
        return stream

    async def send(self, stream: int, data: bytes) -> None:
        """See :meth:`ReplicaActor.send`."""
        await self._call("send", stream, data)

    async def receive(self, stream: int) -> bytes:
        """See :meth:`ReplicaActor.receive`."""
        data: bytes = await self._call("receive", stream)
        return data

    async def close(self, stream: int) -> None:
        """See :meth:`ReplicaActor.close`."""
        await self._call("close", stream)

    async def state(self) -> dict[str, Any]:
        """See :meth:`ReplicaActor.state`."""
        state: dict[str, Any] = await self._call("state")
        return state

    async def stop(self, grace_s: float) -> int | None:
        """See :meth:`ReplicaActor.stop`."""
        code: int | None = await self._call("stop", grace_s)
        return code

    async def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return await getattr(self._actor, method).remote(*arguments)
        except self._ray.exceptions.RayError as error:
            message = f"its Ray actor is gone or failed: {_first_line(error)}"
            raise EngineDeadError(message) from None


def prepare_own_cluster() -> None:
    """Settings of a cluster that we start, which Ray reads when it is loaded.

    It is for this machine alone (Ray otherwise listens on every address), and its actors are as
    important as other processes (they would have niceness 15, and the engines with them). What
    exists already is joined as it is.
    """
    set_default_environment(RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_worker_niceness="0")


def import_ray() -> Any:
    """The library, told to keep to itself. Raises ConfigError where it is not installed."""
    set_default_environment(RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise ConfigError('--backend ray needs Ray: pip install "sglite[ray]"') from error
    return ray


def _join(ray: Any, address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.WARNING}
    try:
        ray.init(address=address or "auto", **quiet)
    except ConnectionError as error:
        if address is not None:
            raise ConfigError(
                f"no Ray cluster answers at {address}: {_first_line(error)}"
            ) from error
    else:
        return
    ray.init(
        address="local",
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        **quiet,
    )
    log_event(logger, logging.INFO, "ray_cluster_started")


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Whoever decides what signals mean decides that afterwards too; Ray takes SIGTERM."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
