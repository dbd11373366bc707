from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

from sglite.config import EngineConfig
from sglite.errors import EngineDeadError
from sglite.ipc.frames import encode
from sglite.ipc.messages import Control
from sglite.ray_backend.replica_actor import CHUNK_BYTES, ReplicaActor
from tests.ipc.harness import Served, run
from tests.ray_backend.harness import ServedLauncher, turns

OPTIONS = EngineConfig(max_total_tokens=2048).to_dict()


@contextlib.asynccontextmanager
async def started(launcher: ServedLauncher, ahead_s: float = 0.0) -> AsyncIterator[ReplicaActor]:
    """An actor with an engine, called by somebody whose clock it is ahead of."""
    actor = ReplicaActor(launcher.make)
    now_s = time.monotonic() - ahead_s
    begun = await actor.start(OPTIONS, {"watchdog_timeout_s": 9.0}, now_s)
    assert begun == {"pid": 4711, "error": None}
    try:
        yield actor
    finally:
        await actor.stop(0.0)
        await turns()


def test_the_engine_gets_its_options_and_learns_how_far_the_callers_clock_is_off() -> None:
    async def work() -> None:
        launcher = ServedLauncher(served)
        async with started(launcher, ahead_s=5000.0):
            assert launcher.made_with is not None
            config, watching = launcher.made_with
        assert config.max_total_tokens == 2048 and watching["watchdog_timeout_s"] == 9.0
        assert 5000 <= watching["clock_offset_s"] < 5060

    with Served() as served:
        run(work())


def test_why_an_engine_cannot_be_started_is_told_not_raised() -> None:
    async def work() -> None:
        launcher = ServedLauncher(served)
        launcher.fault = EngineDeadError("no more processes")
        actor = ReplicaActor(launcher.make)
        assert (await actor.start(OPTIONS, {}, 0.0))["error"] == "no more processes"
        begun = await actor.start({"page_size": -1}, {}, 0.0)
        assert begun["pid"] is None and "page_size" in begun["error"]
        begun = await actor.start({"an_option_of_tomorrow": 1}, {}, 0.0)
        assert begun["pid"] is None and "an_option_of_tomorrow" in begun["error"]

    with Served() as served:
        run(work())


def test_streams_carry_bytes_to_the_engine_and_back_until_they_are_closed() -> None:
    async def work() -> None:
        async with started(ServedLauncher(served)) as actor:
            first, second = await actor.open(), await actor.open()
            assert first is not None and second is not None and first != second
            greeting = await actor.receive(first)
            assert b"ready" in greeting and len(greeting) <= CHUNK_BYTES
            frame = bytes(encode(Control(7, "stats")))
            await actor.send(first, frame[:5])
            await actor.send(first, frame[5:])
            said = b""
            while b"num_running_requests" not in said:
                said += await actor.receive(first)
            await actor.close(first)
            assert await actor.receive(first) == b""
            await actor.send(first, frame)  # nobody hears it, and nothing breaks
            assert b"ready" in await actor.receive(second)
            await actor.stop(0.0)
            assert await actor.receive(second) == b""

    with Served() as served:
        run(work())


def test_without_an_engine_there_is_no_stream() -> None:
    async def work() -> None:
        actor = ReplicaActor(ServedLauncher(served).make)
        assert await actor.open() is None and await actor.stop(1.0) is None
        assert (await actor.state())["reason"] == "it has not been started"
        launcher = ServedLauncher(served)
        async with started(launcher) as actor:
            launcher.path = "/nowhere/engine.sock"
            assert await actor.open() is None

    with Served() as served:
        run(work())


def test_the_state_tells_how_the_engine_has_ended() -> None:
    async def work() -> None:
        launcher = ServedLauncher(served)
        async with started(launcher) as actor:
            assert await actor.state() == {"exit_code": None, "reason": None}
            launcher.end(-9, "it was killed")
            assert await actor.state() == {"exit_code": -9, "reason": "it was killed"}

    with Served() as served:
        run(work())


def test_a_second_start_ends_the_engine_before() -> None:
    async def work() -> None:
        launcher = ServedLauncher(served)
        async with started(launcher) as actor:
            assert launcher.stops == []
            await actor.start(OPTIONS, {}, 0.0)
            assert launcher.stops == [0.0]

    with Served() as served:
        run(work())
