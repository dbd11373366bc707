"""GET /metrics answers in both formats, with the engine's numbers or without them."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest
from starlette.requests import Request

from sglite.errors import EngineDeadError
from sglite.ipc.messages import Heartbeat
from sglite.server.native import metrics as metrics_route
from sglite.server.peers import Peers
from sglite.server.telemetry.metrics import ServerMetrics
from sglite.server.telemetry.observation import Observation
from tests.server.generations import generation


class FakeEngine:
    def __init__(self, stats=None, error=None, is_stuck=False):
        self.stats, self.error, self.is_stuck = stats, error, is_stuck
        self.engines, self.waiting_count = {0: self}, 0
        self.heartbeat = Heartbeat(
            loop_age_s=0.5, num_running=7, num_waiting=1, num_waiting_tokens=9
        )

    async def control(self, name, **arguments):
        assert name == "stats"
        if self.error:
            raise self.error
        if self.is_stuck:
            await asyncio.sleep(60)
        return self.stats


def get(engine, accept="*/*", *, metrics=None):
    """One call of the route: its content type and body."""
    return make_getter(engine, metrics)(accept)


def make_getter(engine, metrics=None):
    """Calls of one route; each gives content type and body."""
    metrics = metrics or ServerMetrics("tiny", ["/generate"])
    front = SimpleNamespace(
        engine=engine,
        observation=Observation(metrics),
        peers=Peers(),
        config=SimpleNamespace(schedule_policy="lpm"),
    )
    (route,) = metrics_route.routes(front)

    def call(accept="*/*"):
        scope = {"type": "http", "method": "GET", "headers": [(b"accept", accept.encode())]}
        response = asyncio.run(route.handler(Request(scope)))
        return response.headers["content-type"], response.body.decode()

    return call


def test_prometheus_gets_text():
    kind, body = get(FakeEngine({"num_running_requests": 2}))
    assert kind.startswith("text/plain; version=0.0.4")
    assert 'sglang:num_running_reqs{model_name="tiny"} 2.0' in body


def test_who_asks_for_json_gets_a_flat_object():
    metrics = ServerMetrics("tiny", [])
    metrics.request_finished(generation())
    stats = {"num_running_requests": 2, "num_waiting_requests": 3}
    kind, body = get(FakeEngine(stats), "application/json", metrics=metrics)
    flat = json.loads(body)
    assert kind == "application/json"
    assert flat["scheduler_mode"] == "lpm"
    assert flat["inflight"] == 5
    assert (flat["prefix_hits"], flat["prefix_misses"]) == (1, 0)
    assert (flat["prefill_hit_tokens"], flat["prefill_miss_tokens"]) == (4, 4)
    assert not any(isinstance(value, dict | list) for value in flat.values())


@pytest.mark.parametrize(
    "engine", [FakeEngine(error=EngineDeadError("gone")), FakeEngine(is_stuck=True)]
)
def test_a_silent_engine_is_described_by_its_last_heartbeat(engine, monkeypatch):
    monkeypatch.setattr(metrics_route, "ENGINE_TIMEOUT_S", 0.01)
    _, body = get(engine)
    assert 'sglang:num_running_reqs{model_name="tiny"} 7.0' in body
    assert 'sglite:engine_loop_age_seconds{model_name="tiny"} 0.5' in body


def test_without_metrics_there_is_no_route():
    assert metrics_route.routes(SimpleNamespace(observation=Observation())) == []


def test_engines_are_added_up_and_told_apart():
    one = FakeEngine({"num_running_requests": 2, "num_waiting_requests": 1})
    two = FakeEngine({"num_running_requests": 3, "num_waiting_requests": 0})
    fleet = FakeEngine()
    fleet.engines, fleet.waiting_count = {0: one, 1: two}, 4
    call = make_getter(fleet)
    _, body = call()
    assert 'sglang:num_running_reqs{model_name="tiny"} 5.0' in body
    assert 'sglite:router_waiting_reqs{model_name="tiny"} 4.0' in body
    assert 'sglite:engine_running_reqs{engine="0",model_name="tiny"} 2.0' in body
    assert 'sglite:engine_running_reqs{engine="1",model_name="tiny"} 3.0' in body
    assert 'sglite:engine_up{engine="1",model_name="tiny"} 1.0' in body
    fleet.engines = {0: one}
    _, body = call()
    assert 'sglang:num_running_reqs{model_name="tiny"} 2.0' in body
    assert 'sglite:engine_up{engine="0",model_name="tiny"} 1.0' in body
    assert 'sglite:engine_up{engine="1",model_name="tiny"} 0.0' in body
