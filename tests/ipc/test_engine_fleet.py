"""Engines are started, watched, started again after growing delays; there may be more or fewer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sglite.errors import ConfigError, EngineDeadError
from sglite.ipc.engine_fleet import EngineFleet
from tests.ipc.fake_members import FakeLauncher, fleet_client
from tests.ipc.harness import Receiver, run
from tests.ipc.test_fleet_client import request


class Machine:
    """Makes launchers, and a clock that jumps over what is slept.

    ``faults`` are taken by the next starts; ``slept_s`` are the delays.
    """

    def __init__(self, num_engines: int = 2, **options: int) -> None:
        self.launchers: list[FakeLauncher] = []
        self.faults: list[Exception | None] = []
        self.slept_s: list[float] = []
        self.now_s = 0.0
        self.client = fleet_client(**options)
        self.fleet = EngineFleet(
            self.make, self.client, num_engines=num_engines, clock=lambda: self.now_s,
            sleep=self.sleep,
        )  # fmt: skip

    def make(self, number: int) -> FakeLauncher:
        fault = self.faults.pop(0) if self.faults else None
        self.launchers.append(FakeLauncher(number, fault))
        return self.launchers[-1]

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)

    async def start(self) -> None:
        await self.fleet.start()
        await self.fleet.wait_ready()

    async def until(self, condition: Callable[[], object]) -> None:
        for _ in range(200):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never came true")

    async def lose(self, number: int, after_s: float = 0.0) -> None:
        """The engine with this number ends; wait until there is another."""
        before = self.client.engines[number]
        self.now_s += after_s
        before.die()
        await self.until(lambda: self.client.engines.get(number, before) is not before)


def test_all_engines_are_ready_before_the_fleet_is() -> None:
    async def work() -> None:
        machine = Machine(num_engines=3)
        client = await machine.fleet.start()
        assert client is machine.client and not client.is_alive
        assert machine.fleet.paths == {0: "/engine/0", 1: "/engine/1", 2: "/engine/2"}
        ready = await machine.fleet.wait_ready()
        assert list(client.engines) == machine.fleet.numbers == [0, 1, 2]
        assert ready.context_length == 1000
        await machine.fleet.stop(1.0)
        await machine.fleet.stop(1.0)
        assert all(launcher.is_stopped for launcher in machine.launchers)
        assert not machine.slept_s

    run(work())


def test_a_first_start_that_fails_is_the_callers() -> None:
    async def work() -> None:
        machine = Machine()
        machine.faults = [None, ConfigError("no such model")]
        await machine.fleet.start()
        with pytest.raises(ConfigError, match="no such model"):
            await machine.fleet.wait_ready()
        await machine.fleet.stop(0.0)
        assert all(launcher.is_stopped for launcher in machine.launchers)

    run(work())


def test_an_engine_that_ends_is_started_again_and_the_others_serve() -> None:
    async def work() -> None:
        machine, changes = Machine(), []
        await machine.start()
        machine.fleet.on_change = lambda: changes.append(machine.fleet.paths)
        await machine.lose(0)
        assert machine.launchers[0].is_stopped and not machine.launchers[1].is_stopped
        assert [launcher.number for launcher in machine.launchers] == [0, 1, 0]
        assert machine.slept_s == [1.0] and changes == [{0: "/engine/0", 1: "/engine/1"}]
        machine.client.submit([request("a"), request("b")], Receiver())
        assert [list(each.requests) for each in machine.client.engines.values()] == [["b"], ["a"]]
        await machine.fleet.stop(1.0)

    run(work())


def test_delays_double_up_to_a_bound_and_begin_anew_after_a_minute() -> None:
    async def work() -> None:
        machine = Machine(num_engines=1)
        await machine.start()
        for _ in range(7):
            await machine.lose(0, after_s=59.0)
        assert machine.slept_s == [1, 2, 4, 8, 16, 30, 30]
        await machine.lose(0, after_s=60.0)
        await machine.lose(0)
        assert machine.slept_s[7:] == [1, 2]
        await machine.fleet.stop(1.0)

    run(work())


def test_starts_that_fail_are_tried_for_ever() -> None:
    async def work() -> None:
        machine = Machine()
        await machine.start()
        machine.faults = [
            EngineDeadError("no memory"),
            ConfigError("the model is gone"),
            OSError("a fault"),
        ]
        await machine.lose(1)
        assert machine.slept_s == [1, 2, 4, 8] and len(machine.launchers) == 6
        assert all(launcher.is_stopped for launcher in machine.launchers[2:5])
        assert not machine.launchers[0].is_stopped
        await machine.fleet.stop(1.0)

    run(work())


def test_a_fleet_that_stops_starts_nothing_again() -> None:
    async def work() -> None:
        machine = Machine()
        await machine.start()
        machine.client.engines[0].die()
        await machine.fleet.stop(1.0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(machine.launchers) == 2 and all(each.is_stopped for each in machine.launchers)

    run(work())


def test_an_engine_more_takes_the_lowest_free_number_and_serves_when_it_is_ready() -> None:
    async def work() -> None:
        machine = Machine(num_engines=1)
        await machine.start()
        joined: list[int] = []
        machine.client.on_join.append(joined.append)
        assert machine.fleet.add() == 1
        assert machine.fleet.add() == 2
        await machine.until(lambda: len(machine.client.engines) == 3)
        assert joined == [1, 2]
        await machine.fleet.remove(1, 1.0)
        assert machine.fleet.numbers == [0, 2] and machine.fleet.add() == 1
        await machine.until(lambda: len(machine.client.engines) == 3)
        await machine.fleet.stop(1.0)

    run(work())


def test_an_engine_that_is_removed_ends_what_it_has_first() -> None:
    async def work() -> None:
        machine = Machine()
        await machine.start()
        receiver = Receiver()
        machine.client.submit([request("a")], receiver)
        engine = machine.client.engines[0]
        removal = asyncio.ensure_future(machine.fleet.remove(0, 1000.0))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not removal.done() and machine.fleet.numbers == [1]
        machine.client.submit([request("b"), request("c")], receiver)
        assert list(engine.requests) == ["a"]
        engine.end("a")
        await removal
        assert [finish.request_id for finish in receiver.finishes] == ["a"]
        assert machine.launchers[0].is_stopped and list(machine.client.engines) == [1]
        assert len(machine.launchers) == 2
        await machine.fleet.stop(1.0)

    run(work())


def test_a_removal_waits_no_longer_than_it_may() -> None:
    async def work() -> None:
        machine = Machine()
        await machine.start()
        receiver = Receiver()
        machine.client.submit([request("a")], receiver)
        machine.client.engines[0].begin("a")
        await machine.fleet.remove(0, 5.0)
        assert machine.now_s == pytest.approx(5.0, abs=0.2)
        assert [type(error) for _, error in receiver.refusals] == [EngineDeadError]
        await machine.fleet.stop(1.0)

    run(work())
