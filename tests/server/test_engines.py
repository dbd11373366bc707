"""Which engines a server starts, and what each HTTP process may send them."""

from __future__ import annotations

import asyncio

import pytest

from sglite.config import ServerConfig
from sglite.errors import ConfigError
from sglite.host.share import HostShare
from sglite.ipc.engine_fleet import EngineFleet
from sglite.ipc.engine_launcher import EngineLauncher
from sglite.server.engines import is_fleet, local_launchers, make_engines, make_fleet_client
from tests.ipc.fake_members import FakeClient, join


@pytest.mark.parametrize(
    ("options", "is_many"),
    [
        ({}, False),
        ({"dp_size": 2}, True),
        ({"dp_size": 2, "tp_size": 2, "enable_dp_attention": True}, False),
        ({"tp_size": 2, "dp_size": 2}, True),
    ],
)
def test_several_engines_are_a_fleet(options, is_many):
    async def main():
        config = ServerConfig(**options)
        assert is_fleet(config) is is_many
        engines = make_engines(config, config.engine_config(), on_change=lambda paths: None)
        assert isinstance(engines, EngineFleet if is_many else EngineLauncher)
        assert engines.paths == {}

    asyncio.run(main())


def test_each_engine_is_one_and_has_its_part_of_the_machine():
    async def main():
        config = ServerConfig(dp_size=3, tp_size=2)
        launch = local_launchers(config, config.engine_config(), make_fleet_client(config))
        launcher = launch(1)
        assert isinstance(launcher, EngineLauncher)
        assert launcher._host == HostShare(1, 3)
        assert (launcher._config.dp_size, launcher._config.tp_size) == (1, 2)

    asyncio.run(main())


def test_an_engine_that_comes_back_shares_free_memory_with_no_one_who_has_his():
    async def main():
        config = ServerConfig(dp_size=3)
        client = make_fleet_client(config)
        launch = local_launchers(config, config.engine_config(), client)
        for number in (0, 2):
            await join(client, number, FakeClient())
        launcher = launch(1)
        assert isinstance(launcher, EngineLauncher)
        assert launcher._host == HostShare(1, 3, num_settled=2)

    asyncio.run(main())


@pytest.mark.parametrize("policy", ["cache_aware", "sticky", "round_robin"])
def test_engines_tell_of_their_caches_where_somebody_asks(policy):
    async def main():
        config = ServerConfig(dp_size=2, routing_policy=policy)
        launch = local_launchers(config, config.engine_config(), make_fleet_client(config))
        launcher = launch(0)
        assert isinstance(launcher, EngineLauncher)
        assert launcher._publishes_digest is (policy != "round_robin")

    asyncio.run(main())


def limits_of(number, **options):
    async def main():
        router = make_fleet_client(ServerConfig(dp_size=2, **options), number=number)._router
        return router._options.max_inflight_total, router._options.max_inflight_per_engine

    return asyncio.run(main())


def test_limits_are_divided_among_the_http_processes():
    limits = {"api_workers": 3, "max_inflight_total": 8, "max_inflight_per_engine": 3}
    assert [limits_of(number, **limits) for number in range(3)] == [(3, 1), (3, 1), (2, 1)]
    assert limits_of(0, api_workers=3) == (None, None)
    with pytest.raises(ConfigError, match="max_inflight_total is 2, and each of 3 HTTP processes"):
        limits_of(0, api_workers=3, max_inflight_total=2)
