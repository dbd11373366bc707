from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sglite.config import ServerConfig
from sglite.errors import ConfigError
from sglite.ipc.messages import Heartbeat
from sglite.ray_backend import ray_engines
from sglite.ray_backend.autoscaler import ScalingRules
from sglite.ray_backend.ray_cluster import RayCluster
from sglite.ray_backend.ray_engines import (
    RayEngines,
    engine_options,
    make_ray_engines,
    scaling_rules,
)
from sglite.ray_backend.ray_launcher import RayLauncher
from tests.ipc.harness import run
from tests.ray_backend.fake_ray import FakeRay

RULES = ScalingRules(1, 3, scale_up_requests=8, up_after_s=0.0, down_after_s=0.0)


class FakeEngine:
    def __init__(self, open_count: int = 0) -> None:
        self.open_count = open_count


class FakeClient:
    def __init__(self) -> None:
        self.engines: dict[int, FakeEngine] = {}
        self.open_count = 0
        self.heartbeat: Heartbeat | None = None


class FakeFleet:
    """Engines that are ready at once; ``drained`` lets those go that are being removed."""

    def __init__(self, num_engines: int = 1) -> None:
        self.client = FakeClient()
        self.paths = {0: "/engine.sock"}
        self.numbers: list[int] = []
        self.log: list[Any] = []
        self.drained = asyncio.Event()
        for _ in range(num_engines):
            self.add()

    def add(self) -> int:
        number = next(n for n in range(99) if n not in self.client.engines)
        self.numbers.append(number)
        self.client.engines[number] = FakeEngine()
        return number

    async def remove(self, number: int, grace_s: float) -> None:
        self.numbers.remove(number)
        await self.drained.wait()
        del self.client.engines[number]
        self.log.append(("removed", number, grace_s))

    async def start(self) -> FakeClient:
        return self.client

    async def wait_ready(self, timeout_s: float | None = None) -> str:
        return "ready"

    async def stop(self, grace_s: float) -> None:
        self.log.append(("stopped", grace_s))


class FakeCluster:
    def __init__(self) -> None:
        self.given_up: list[int] = []
        self.is_closed = False

    async def give_up(self, number: int) -> None:
        self.given_up.append(number)

    async def close(self) -> None:
        self.is_closed = True


def engines_over(fleet: FakeFleet, rules: ScalingRules = RULES) -> tuple[RayEngines, FakeCluster]:
    cluster: Any = FakeCluster()
    return RayEngines(fleet, cluster, rules, drain_timeout_s=7.0, clock=lambda: 0.0), cluster


def test_a_load_brings_engines_and_its_end_takes_them_back_after_they_are_drained() -> None:
    async def work() -> None:
        fleet = FakeFleet()
        engines, cluster = engines_over(fleet)
        fleet.client.open_count = 50
        for _ in range(5):
            engines.turn()
        assert fleet.numbers == [0, 1, 2]
        fleet.client.open_count = 0
        fleet.client.engines[2].open_count = 1
        engines.turn()
        await asyncio.sleep(0)
        assert fleet.numbers == [0, 2] and cluster.given_up == []  # of the idle ones, the later
        fleet.drained.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert fleet.log == [("removed", 1, 7.0)] and cluster.given_up == [1]
        await engines.stop(1.0)

    run(work())


def test_an_engine_that_still_loads_goes_first_and_keeps_others_from_coming() -> None:
    async def work() -> None:
        fleet = FakeFleet(3)
        del fleet.client.engines[1]
        engines, _ = engines_over(fleet, ScalingRules(1, 9, 8, up_after_s=0.0, down_after_s=0.0))
        fleet.client.open_count = 999
        engines.turn()
        assert fleet.numbers == [0, 1, 2]
        fleet.client.open_count = 0
        engines.turn()
        await asyncio.sleep(0)
        assert fleet.numbers == [0, 2]
        await engines.stop(1.0)

    run(work())


def test_requests_of_other_http_processes_count() -> None:
    async def work() -> None:
        fleet = FakeFleet()
        engines, _ = engines_over(fleet)
        beat = Heartbeat(loop_age_s=0.0, num_running=5, num_waiting=3, num_waiting_tokens=10)
        fleet.client.heartbeat = beat
        engines.turn()
        assert fleet.numbers == [0, 1]

    run(work())


def test_the_queue_is_followed_from_ready_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engines, "TURN_S", 0.001)

    async def work() -> None:
        fleet = FakeFleet()
        engines, cluster = engines_over(fleet)
        assert await engines.start() is fleet.client and engines.paths == {0: "/engine.sock"}
        fleet.client.open_count = 50
        assert await engines.wait_ready(1.0) == "ready"
        while len(fleet.numbers) < 3:
            await asyncio.sleep(0.001)
        await engines.stop(2.0)
        assert fleet.log == [("stopped", 2.0)] and cluster.is_closed

    run(work())


@pytest.mark.parametrize(
    ("options", "least", "most"),
    [
        ({}, 1, 1),
        ({"dp_size": 3}, 3, 3),
        ({"dp_size": 2, "max_replicas": 4}, 2, 4),
        ({"min_replicas": 1, "max_replicas": 4, "dp_size": 2}, 1, 4),
        ({"min_replicas": 2}, 2, 2),
        ({"dp_size": 4, "max_replicas": 2}, 2, 2),
        ({"dp_size": 2, "tp_size": 2, "enable_dp_attention": True}, 1, 1),
    ],
)
def test_how_many_engines_there_may_be(options: dict[str, Any], least: int, most: int) -> None:
    rules = scaling_rules(ServerConfig(**options))
    assert (rules.min_engines, rules.max_engines) == (least, most)


def test_contradicting_limits_are_refused_before_ray_is_asked() -> None:
    config = ServerConfig(backend="ray", min_replicas=3, max_replicas=2)
    with pytest.raises(ConfigError, match="min_replicas is 3"):
        make_ray_engines(config, lambda launch, count: FakeFleet())


def test_engines_get_paths_that_hold_anywhere_and_hub_ids_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    local = engine_options(ServerConfig(model_path="model", dp_size=2))
    assert local.model_path == str(tmp_path / "model") and local.dp_size == 1
    assert engine_options(ServerConfig(model_path="org/name")).model_path == "org/name"
    parts = ServerConfig(tp_size=2, dp_size=2, enable_dp_attention=True)
    assert engine_options(parts).dp_size == 2


@pytest.mark.parametrize(("dp_size", "started"), [(1, 2), (3, 3), (9, 4)])
def test_the_engines_of_a_server(
    monkeypatch: pytest.MonkeyPatch, dp_size: int, started: int
) -> None:
    async def work() -> None:
        ray = FakeRay([{"CPU": 8.0}])
        monkeypatch.setattr(
            RayCluster, "connect", lambda config, count: RayCluster(ray, config, count)
        )
        config = ServerConfig(backend="ray", dp_size=dp_size, min_replicas=2, max_replicas=4)
        made: list[Any] = []

        def make_fleet(launch: Any, num_engines: int) -> FakeFleet:
            made.append((launch(5), num_engines))
            return FakeFleet()

        engines = make_ray_engines(config, make_fleet, publishes_digest=True)
        ((launcher, num_engines),) = made
        assert isinstance(launcher, RayLauncher) and num_engines == started
        assert launcher._watching == {"watchdog_timeout_s": 60.0, "publishes_digest": True}
        await engines.stop(0.0)
        assert ray.log[-1] == "shutdown"

    run(work())
