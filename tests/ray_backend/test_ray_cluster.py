from __future__ import annotations

import builtins
import signal
from typing import Any

import pytest

from sglite.config import ServerConfig
from sglite.errors import ConfigError, EngineDeadError
from sglite.ray_backend import ray_cluster
from sglite.ray_backend.ray_cluster import RayCluster, import_ray
from tests.ipc.harness import run
from tests.ray_backend.fake_ray import ActorDiedError, ActorUnavailableError, FakeRay, RayError

NODES = [{"CPU": 4.0}, {"CPU": 4.0}]
CONFIG = ServerConfig(backend="ray", dp_size=4)


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "RETRY_S", 0.0)


def made(log: list[Any], what: str) -> list[Any]:
    return [entry[1:] for entry in log if entry[0] == what]


def test_an_actor_gets_a_bundle_of_its_own_which_ray_keeps_alive() -> None:
    async def work() -> None:
        ray = FakeRay(NODES)
        cluster = RayCluster(ray, CONFIG, num_replicas=4)
        seat = cluster.seat(3)
        replica = await seat.replica()
        assert seat.name == "replica 3" and cluster.seat(3) is seat
        assert made(ray.log, "group") == [([{"CPU": 2.0}], "STRICT_PACK")]
        ((options,),) = made(ray.log, "actor")
        assert options == {
            "num_cpus": 2.0,
            "num_gpus": 0,
            "max_restarts": -1,
            "max_task_retries": 0,
            "scheduling_strategy": ("group 1", 0),
        }
        assert seat.num_neighbours == 2  # a machine of 4 cores has room for two
        assert (await replica.state())["reason"] == "it has not been started"
        assert await seat.replica() is not replica and len(made(ray.log, "actor")) == 1

    run(work())


def test_gpus_are_reserved_and_have_no_neighbours() -> None:
    async def work() -> None:
        ray = FakeRay([{"CPU": 16.0, "GPU": 8.0}])
        seat = RayCluster(ray, ServerConfig(backend="ray", tp_size=2), num_replicas=1).seat(0)
        await seat.replica()
        ((options,),) = made(ray.log, "actor")
        assert (options["num_gpus"], options["num_cpus"]) == (2.0, 1.0)
        assert seat.num_neighbours == 1

    run(work())


def test_what_ray_restarts_is_waited_for_and_what_it_gave_up_made_anew() -> None:
    async def work() -> None:
        ray = FakeRay(NODES)
        ray.faults = [[ActorUnavailableError("restarting")] * 3 + [ActorDiedError("for good")]]
        await RayCluster(ray, CONFIG, num_replicas=4).seat(0).replica()
        assert len(made(ray.log, "actor")) == 2
        assert ray.log.count("killed") == 1 and made(ray.log, "removed") == [("group 1",)]

    run(work())


def test_no_room_is_a_config_error_at_first_and_passes_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_cluster, "PLACE_S", 0.05)

    async def work() -> None:
        ray = FakeRay([{"CPU": 1.0}])
        ray.faults = [[ActorUnavailableError("no place")] * 1_000_000]
        config = ServerConfig(backend="ray", ray_replica_cpus=2.0)
        seat = RayCluster(ray, config, num_replicas=1).seat(0)
        with pytest.raises(ConfigError, match="needs 2 CPU on one machine; the cluster has 1 CPU"):
            await seat.replica()
        with pytest.raises(EngineDeadError, match="could not be placed"):
            await seat.replica()

    run(work())


def test_a_failed_call_is_a_dead_engine() -> None:
    async def work() -> None:
        ray = FakeRay(NODES)
        seat = RayCluster(ray, CONFIG, num_replicas=4).seat(0)
        replica = await seat.replica()
        seat._actor.faults.append(RayError("The actor died.\nA long story."))
        with pytest.raises(EngineDeadError, match=r"gone or failed: The actor died\.$"):
            await replica.receive(1)

    run(work())


def test_seats_are_given_up_one_by_one_and_all_at_the_end() -> None:
    async def work() -> None:
        ray = FakeRay(NODES)
        cluster = RayCluster(ray, CONFIG, num_replicas=4)
        for number in range(3):
            await cluster.seat(number).replica()
        await cluster.give_up(1)
        await cluster.give_up(7)
        assert ray.log.count("killed") == 1 and made(ray.log, "removed") == [("group 2",)]
        await cluster.close()
        assert ray.log.count("killed") == 3 and ray.log[-1] == "shutdown"

    run(work())


def test_a_seat_given_up_while_ray_makes_it_leaves_nothing() -> None:
    async def work() -> None:
        ray = FakeRay(NODES)
        seat = RayCluster(ray, CONFIG, num_replicas=4).seat(0)
        await seat.give_up()
        seat._place()
        assert ray.log[-2:] == ["killed", ("removed", "group 1")]

    run(work())


@pytest.mark.parametrize(
    ("known", "given", "joined"),
    [
        ("auto", None, ["auto"]),
        (None, None, ["auto", "local"]),
        ("10.0.0.1:6379", "10.0.0.1:6379", ["10.0.0.1:6379"]),
    ],
)
def test_which_cluster_is_joined(
    monkeypatch: pytest.MonkeyPatch, known: str | None, given: str | None, joined: list[str]
) -> None:
    ray = FakeRay(NODES, known)
    monkeypatch.setattr(ray_cluster, "import_ray", lambda: ray)
    monkeypatch.setattr(ray_cluster, "prepare_own_cluster", lambda: None)
    before = signal.getsignal(signal.SIGTERM)
    RayCluster.connect(ServerConfig(backend="ray", ray_address=given), 1)
    assert [options["address"] for (options,) in made(ray.log, "init")] == joined
    own = [options for (options,) in made(ray.log, "init") if options["address"] == "local"]
    assert all(options["include_dashboard"] is False for options in own)
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_address_where_nobody_answers_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "import_ray", lambda: FakeRay(NODES))
    config = ServerConfig(backend="ray", ray_address="10.0.0.9:6379")
    with pytest.raises(ConfigError, match=r"answers at 10\.0\.0\.9:6379: Could not find any"):
        RayCluster.connect(config, 1)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "ray":
            raise ImportError("no module named ray")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    with pytest.raises(ConfigError, match=r'pip install "sglite\[ray\]"'):
        import_ray()
