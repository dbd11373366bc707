from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sglite.config import EngineConfig
from sglite.errors import ConfigError, EngineDeadError
from sglite.ray_backend import ray_launcher
from sglite.ray_backend.ray_launcher import RayLauncher
from sglite.ray_backend.replica_actor import ReplicaActor
from tests.fakes import expected_output
from tests.ipc.harness import PROMPTS, Receiver, Served, endless, request, run
from tests.ray_backend.harness import FakeSeat, LocalReplica, ServedLauncher, turns

CONFIG = EngineConfig(max_total_tokens=2048)


class Stage:
    """A launcher over one seat, and everything behind it."""

    def __init__(self, served: Served, **watching: float) -> None:
        self.engine = ServedLauncher(served)
        self.replica = LocalReplica(ReplicaActor(self.engine.make))
        self.seat = FakeSeat(self.replica)
        self.launcher = RayLauncher(CONFIG, self.seat, **watching)


@contextlib.asynccontextmanager
async def staged(served: Served, **watching: float) -> AsyncIterator[Stage]:
    stage = Stage(served, **watching)
    try:
        yield stage
    finally:
        await stage.launcher.stop(0.0)
        await stage.replica.actor.stop(0.0)
        await turns()


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_launcher, "LAST_WORDS_S", 0.0)


def test_an_engine_in_an_actor_answers_and_leaves_nothing_but_the_actor() -> None:
    async def work() -> None:
        async with staged(served) as stage:
            client = await stage.launcher.start()
            ready = await stage.launcher.wait_ready(20.0)
            assert ready.vocab_size and stage.launcher.pid == 4711
            receiver = Receiver()
            client.submit([request("a")], receiver)
            await receiver.wait_for_ends(1)
            assert receiver.tokens == {"a": expected_output(PROMPTS[0], 10)}
            path = stage.launcher.path
            assert path is not None and Path(path).exists()
            stage.engine.exit_code = 0
            assert await stage.launcher.stop(5.0) == 0 and stage.engine.stops == [5.0]
            assert stage.launcher.path is None and not Path(path).parent.exists()
            assert await stage.launcher.stop(5.0) == 0

    with Served() as served:
        run(work())


def test_the_start_returns_while_ray_still_looks_for_a_place() -> None:
    async def work() -> None:
        async with staged(served) as stage:
            stage.seat.is_open.clear()
            client = await stage.launcher.start()
            with pytest.raises(EngineDeadError, match=r"replica 0 was not ready after 0\.01 s"):
                await stage.launcher.wait_ready(0.01)
            assert client.is_alive and stage.launcher.pid is None
            stage.seat.is_open.set()
            await stage.launcher.wait_ready(20.0)

    with Served() as served:
        run(work())


def test_no_room_and_bad_options_are_config_errors() -> None:
    async def work() -> None:
        async with staged(served) as stage:
            stage.seat.why_none = "no machine has 8 CPU"
            await stage.launcher.start()
            with pytest.raises(ConfigError, match="no machine has 8 CPU"):
                await stage.launcher.wait_ready(20.0)
        async with staged(served) as stage:
            stage.engine.fault = ConfigError("page_size is odd")
            await stage.launcher.start()
            with pytest.raises(ConfigError, match="replica 0: page_size is odd"):
                await stage.launcher.wait_ready(20.0)

    with Served() as served:
        run(work())


@pytest.mark.parametrize(("exit_code", "kind"), [(2, ConfigError), (-9, EngineDeadError)])
def test_how_an_engine_ends_that_never_was_ready(exit_code: int, kind: type[Exception]) -> None:
    async def work() -> None:
        async with staged(served) as stage:
            client = await stage.launcher.start()
            waiting = asyncio.ensure_future(stage.launcher.wait_ready(20.0))
            while stage.launcher.pid is None:
                await asyncio.sleep(0.001)
            stage.engine.end(exit_code, "it could not load")
            served.server.close()
            with pytest.raises(kind, match="it could not load"):
                await waiting
            assert stage.launcher.exit_code == exit_code and not client.is_alive

    with Served(is_ready=False) as served:
        run(work())


def test_a_lost_actor_fails_what_runs_and_the_next_launcher_starts_in_another() -> None:
    async def work() -> None:
        async with staged(served) as stage:
            client = await stage.launcher.start()
            await stage.launcher.wait_ready(20.0)
            receiver = Receiver()
            client.submit([endless("a")], receiver)
            await receiver.wait_until(lambda: receiver.tokens)
            stage.replica.lose()
            await receiver.wait_until(lambda: receiver.refusals)
            assert "replica 0: its actor is gone" in str(receiver.refusals[0][1])
            assert await stage.launcher.stop(5.0) is None
            again = LocalReplica(ReplicaActor(ServedLauncher(served).make))
            second = RayLauncher(CONFIG, FakeSeat(again))
            await second.start()
            await second.wait_ready(20.0)
            await second.stop(0.0)
            await again.actor.stop(0.0)

    with Served() as served:
        run(work())


def test_an_engine_that_is_not_heard_of_any_more_is_declared_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_launcher, "BESIDES_WATCHDOG_S", 0.05)

    async def work() -> None:
        async with staged(served, watchdog_timeout_s=0.1) as stage:
            client = await stage.launcher.start()
            await stage.launcher.wait_ready(20.0)
            assert "has not been heard of" in await client.died

    with Served(heartbeat_s=60.0) as served:
        run(work())


def test_neighbours_share_the_machine() -> None:
    async def work() -> None:
        async with staged(served) as stage:
            stage.seat.num_neighbours = 4
            await stage.launcher.start()
            await stage.launcher.wait_ready(20.0)
            assert stage.engine.made_with is not None
            config = stage.engine.made_with[0]
            assert config.mem_fraction_static == 0.125 and config.cpu_cores == "any"
            assert config.max_total_tokens == 2048

    with Served() as served:
        run(work())


def test_without_a_start_nothing_is_ready() -> None:
    async def work() -> None:
        launcher = RayLauncher(CONFIG, FakeSeat())
        with pytest.raises(EngineDeadError, match="not been started"):
            await launcher.wait_ready(1.0)
        assert await launcher.stop(1.0) is None and launcher.path is None

    run(work())
