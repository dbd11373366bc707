"""A further HTTP process finds the engines that the first one starts."""

from __future__ import annotations

import asyncio

import pytest

from sglite.errors import EngineDeadError
from sglite.ipc.fleet_follower import FleetFollower
from tests.ipc.fake_members import FakeClient, fleet_client
from tests.ipc.harness import run
from tests.ipc.test_fleet_client import submit


class Sockets:
    """Engines by path; where there is none, nobody answers."""

    def __init__(self, *paths: str) -> None:
        self.engines = {path: FakeClient() for path in paths}

    async def connect(self, path: str) -> FakeClient:
        await asyncio.sleep(0)
        if path not in self.engines:
            raise EngineDeadError("no engine answers")
        return self.engines[path]


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_it_is_ready_with_all_engines() -> None:
    async def work() -> None:
        sockets = Sockets("/a", "/b")
        follower = FleetFollower(fleet_client(), sockets.connect)
        ready = await follower.wait_ready({1: "/b", 0: "/a"})
        assert ready.config["dp_size"] == 2
        assert list(follower.client.engines.items()) == [
            (0, sockets.engines["/a"]),
            (1, sockets.engines["/b"]),
        ]

    run(work())


def test_an_engine_that_cannot_be_reached_at_the_start_is_a_failure() -> None:
    async def work() -> None:
        follower = FleetFollower(fleet_client(), Sockets("/a").connect)
        with pytest.raises(EngineDeadError):
            await follower.wait_ready({0: "/a", 1: "/gone"})

    run(work())


def test_it_follows_an_engine_to_its_new_socket() -> None:
    async def work() -> None:
        sockets = Sockets("/a", "/b", "/again", "/more")
        follower = FleetFollower(fleet_client(), sockets.connect)
        await follower.wait_ready({0: "/a", 1: "/b"})
        sockets.engines["/a"].die()
        follower.follow({0: "/missed", 1: "/b"})
        await turn()
        assert list(follower.client.engines) == [1]
        follower.follow({0: "/again", 1: "/b", 2: "/more"})
        await turn()
        assert follower.client.engines[0] is sockets.engines["/again"]
        assert follower.client.engines[1] is sockets.engines["/b"]
        assert follower.client.engines[2] is sockets.engines["/more"]

    run(work())


def test_an_engine_that_is_left_out_gets_nothing_new() -> None:
    async def work() -> None:
        sockets = Sockets("/a", "/b")
        follower = FleetFollower(fleet_client(), sockets.connect)
        await follower.wait_ready({0: "/a", 1: "/b"})
        follower.follow({1: "/b"})
        submit(follower.client, "x", "y")
        assert list(sockets.engines["/b"].requests) == ["x", "y"]

    run(work())
