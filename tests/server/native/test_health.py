import asyncio

import pytest

from sglite.server.app import build_app
from sglite.server.native import health
from tests.server.asgi import client
from tests.server.fake_engine import make_front
from tests.server.fake_fleet import make_fleet_front

OPEN = ("/health", "/health/live", "/health/ready", "/ready", "/ping")


def statuses(change=lambda front: None, **options):
    """Status of each open path after ``change(front)``, and what reached the engine."""

    async def main():
        front = make_front(**options)
        change(front)
        async with client(build_app(front, [health])) as http:
            found = {path: (await http.get(path)).status_code for path in OPEN}
        assert front.engine.requests == []
        assert front.engine.controlled == []
        return found

    return asyncio.run(main())


def test_a_working_engine_is_healthy_and_is_not_asked():
    assert set(statuses().values()) == {200}


def test_probes_need_no_key():
    assert set(statuses(api_key="k").values()) == {200}


def test_death_is_seen_at_once():
    assert set(statuses(lambda front: front.engine.die()).values()) == {503}


@pytest.mark.parametrize(("age_s", "status"), [(9.0, 200), (11.0, 503)])
def test_silence_counts_once_it_is_longer_than_the_watchdog_waits(age_s, status):
    def fall_silent(front):
        front.engine.heartbeat_age_s = age_s

    assert set(statuses(fall_silent, watchdog_timeout_s=10.0).values()) == {status}


def test_draining_server_lives_but_is_not_ready():
    def drain(front):
        front.is_draining = True

    found = statuses(drain)
    assert [found[path] for path in OPEN] == [200, 200, 503, 503, 200]


def generate(change=lambda front: None):
    async def main():
        front = make_front()
        change(front)
        async with client(build_app(front, [health])) as http:
            return (await http.get("/health_generate")).status_code, front.engine

    return asyncio.run(main())


def test_health_generate_generates_one_token():
    status, engine = generate()
    assert status == 200
    assert engine.requests[0].max_new_tokens == 1


def test_health_generate_gives_up_and_leaves_nothing_open(monkeypatch):
    monkeypatch.setattr(health, "GENERATE_TIMEOUT_S", 0.02)

    def hold(front):
        front.engine.hold = True

    status, engine = generate(hold)
    assert status == 503
    assert engine.num_open_requests == 0


def test_health_generate_is_a_503_where_the_engine_is_dead():
    assert generate(lambda front: front.engine.die())[0] == 503


def test_a_fleet_is_healthy_as_long_as_one_engine_is():
    async def main():
        front, engines = await make_fleet_front(2)
        found = []
        async with client(build_app(front, [health])) as http:
            for engine in engines:
                found.append((await http.get("/health")).status_code)
                engine.die()
                await asyncio.sleep(0)
            answer = await http.get("/health")
        assert "started again" in answer.json()["message"]
        return [*found, answer.status_code]

    assert asyncio.run(main()) == [200, 200, 503]
