"""Which engines stand behind the front: one, whose end is the server's, or a fleet of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from sglite.errors import ConfigError
from sglite.host.share import HostShare
from sglite.ipc.engine_fleet import EngineFleet, Launcher
from sglite.ipc.engine_launcher import EngineLauncher
from sglite.ipc.fleet_client import FleetClient
from sglite.ray_backend.ray_engines import make_ray_engines
from sglite.router.router import Router

if TYPE_CHECKING:
    from sglite.config import EngineConfig, ServerConfig
    from sglite.ipc.engine_link import EngineLink
    from sglite.ipc.messages import Ready

PREFIX_POLICIES = ("cache_aware", "sticky")
"""Those that look at what engines have cached."""


class Engines(Protocol):
    """What the server starts and stops: an ``EngineLauncher`` or an ``EngineFleet``."""

    @property
    def paths(self) -> dict[int, str]:
        """The sockets of the engines, by number."""

    async def start(self) -> EngineLink:
        """Start them, which begin to load; returns their client."""

    async def wait_ready(self, timeout_s: float | None = None) -> Ready:
        """What fits them, once all are ready. Raises ConfigError, EngineDeadError."""

    async def stop(self, grace_s: float) -> int | None:
        """End them, by force after ``grace_s``."""


def is_fleet(config: ServerConfig) -> bool:
    """True where there are several engines, or might be."""
    return config.backend == "ray" or num_engines(config) > 1


def num_engines(config: ServerConfig) -> int:
    """The engines that are started; with DP-attention the parts are those of one engine."""
    return 1 if config.enable_dp_attention else config.dp_size


def make_engines(
    config: ServerConfig, engine: EngineConfig, *, on_change: Callable[[dict[int, str]], None]
) -> Engines:
    """The engines with the options ``engine``; ``on_change`` hears of new sockets.

    To be called in the event loop. Raises ConfigError.
    """
    if not is_fleet(config):
        return EngineLauncher(engine, watchdog_timeout_s=config.watchdog_timeout_s)
    client = make_fleet_client(config)

    def make_fleet(launch: Callable[[int], Launcher], count: int) -> EngineFleet:
        fleet = EngineFleet(launch, client, num_engines=count)
        fleet.on_change = lambda: on_change(fleet.paths)
        return fleet

    if config.backend == "ray":
        publishes = config.routing_policy in PREFIX_POLICIES
        return make_ray_engines(config, make_fleet, publishes_digest=publishes)
    return make_fleet(local_launchers(config, engine, client), num_engines(config))


def local_launchers(
    config: ServerConfig, engine: EngineConfig, client: EngineLink
) -> Callable[[int], Launcher]:
    """Makes launchers of engines on this machine, each with its part of it.

    Those that live then, as ``client`` knows, hold their memory: an engine that is started again
    finds free what the one before it had.
    """
    options = engine.replace(dp_size=1)
    publishes = config.routing_policy in PREFIX_POLICIES

    def num_others(number: int) -> int:
        return sum(other != number for other in client.engines)

    def launch(number: int) -> Launcher:
        return EngineLauncher(
            options,
            watchdog_timeout_s=config.watchdog_timeout_s,
            publishes_digest=publishes,
            host=HostShare(number, num_engines(config), num_settled=num_others(number)),
        )

    return launch


def make_fleet_client(config: ServerConfig, *, number: int = 0) -> FleetClient:
    """The client of HTTP process ``number``. To be called in the event loop. Raises ConfigError."""
    routing = dataclasses.replace(
        config,
        max_inflight_total=_part(config, "max_inflight_total", number),
        max_inflight_per_engine=_part(config, "max_inflight_per_engine", number),
    )
    return FleetClient(
        Router(routing, 0, seed=config.random_seed + number),
        max_waiting=config.max_queued_requests,
        num_engines=config.dp_size,
        timeout_s=config.request_timeout_s,
        has_peers=config.api_workers > 1,
    )


def _part(config: ServerConfig, option: str, number: int) -> int | None:
    """What one HTTP process has of a limit that all have together; they need not ask each other."""
    limit: int | None = getattr(config, option)
    if limit is None:
        return None
    if limit < config.api_workers:
        raise ConfigError(
            f"{option} is {limit}, and each of {config.api_workers} HTTP processes (api_workers) "
            f"needs a part of it; give at least {config.api_workers}, or fewer processes"
        )
    share, rest = divmod(limit, config.api_workers)
    return share + (number < rest)
