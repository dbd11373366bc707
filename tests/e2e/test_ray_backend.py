"""Engines as actors of a Ray cluster of two nodes on this machine.

Needs Ray (``make test-slow`` installs it); whoever has none sees it skipped.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import pytest

from tests.e2e.async_calls import Call, mixed_bodies
from tests.e2e.ray_nodes import RayNodes, ray_nodes, settings
from tests.server import live
from tests.server.live import LiveServer, live_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]

SETTLE_S = 300.0
"""What starts and restarts of Ray's processes and of engines may take on a busy machine."""
TOLD_S = 10.0
NUM_CALLS = 16
ENGINES = (
    *("--backend", "ray", "--ray-replica-cpus", "1", "--max-total-tokens", "16384"),
    *("--log-level", "info"),
)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[RayNodes]:
    """Two nodes of one core each. Their servers find the settings in the environment."""
    for name, value in settings().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(live, "START_TIMEOUT_S", SETTLE_S)
    with ray_nodes(dict(os.environ)) as cluster:
        yield cluster


def engines_up(server: LiveServer) -> int:
    with server.client() as http:
        found = re.findall(r"^sglite:engine_up\S* 1\.0$", http.get("/metrics").text, re.MULTILINE)
    return len(found)


def num_running(server: LiveServer) -> int:
    with server.client() as http:
        return sum(load["num_running_reqs"] for load in http.get("/v1/loads").json()["loads"])


def wait_for(condition: Callable[[], bool], server: LiveServer) -> float:
    """The seconds until it came true."""
    started_s = time.monotonic()
    while not condition():
        assert time.monotonic() - started_s < SETTLE_S, server.errors
        time.sleep(0.1)
    return time.monotonic() - started_s


def generate(http: httpx.Client, text: str) -> str:
    body = {"text": text, "sampling_params": {"temperature": 0, "max_new_tokens": 12}}
    answer = http.post("/generate", json=body)
    assert answer.status_code == 200, answer.text
    said: str = answer.json()["text"]
    return said


async def strike(server: LiveServer, kill: Callable[[], None]) -> tuple[list[Call], float]:
    """Call ``kill`` while calls run; the calls, ended, and the moment."""
    calls = [Call(server.url, *body) for body in mixed_bodies(NUM_CALLS, num_tokens=1500)]
    tasks = [call.begin() for call in calls]
    await asyncio.to_thread(wait_for, lambda: num_running(server) == NUM_CALLS, server)
    struck_s = time.monotonic()
    await asyncio.to_thread(kill)
    await asyncio.wait_for(asyncio.gather(*tasks), SETTLE_S)
    return calls, struck_s


def test_two_nodes_serve_and_one_that_is_killed_under_load_is_replaced(
    nodes: RayNodes, tmp_path: Path
) -> None:
    options = ("--dp", "2", "--ray-address", nodes.address, "--routing-policy", "round_robin")
    with live_server(*ENGINES, *options, directory=tmp_path) as server, server.client() as http:
        wait_for(lambda: engines_up(server) == 2, server)
        assert len(set(nodes.actors())) == 2, "each on a node of its own"
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=SETTLE_S)
        for _ in range(4):
            chat = client.chat.completions.create(
                model="any", messages=[{"role": "user", "content": "Hello"}], max_tokens=8
            )
            assert chat.choices[0].message.content
        client.close()
        said = generate(http, "The capital of France is")
        assert {generate(http, "The capital of France is") for _ in range(4)} == {said}

        calls, struck_s = asyncio.run(strike(server, nodes.kill))
        endings = [call.ending for call in calls]
        assert set(endings) <= {"answered", "told", "refused"}, endings
        assert 1 <= endings.count("answered") < NUM_CALLS, endings
        told_s = max(call.ended_s - struck_s for call in calls if call.ending != "answered")
        assert generate(http, "The capital of France is") == said, "the other engine serves"
        assert len(nodes.actors()) == 1

        nodes.add()
        whole_s = wait_for(lambda: engines_up(server) == 2, server)
        assert len(set(nodes.actors())) == 2
        for _ in range(4):
            assert generate(http, "The capital of France is") == said
        print(f"a node killed under load: told after {told_s:.1f} s, whole {whole_s:.1f} s "
              f"after there was another node: {endings}")  # fmt: skip
        assert told_s <= TOLD_S
        server.interrupt()
        assert server.wait() == 0
        wait_for(lambda: nodes.actors() == [], server)


def test_engines_follow_the_queue(nodes: RayNodes, tmp_path: Path) -> None:
    options = (
        *("--ray-address", nodes.address, "--min-replicas", "1", "--max-replicas", "2"),
        *("--scale-up-requests", "4"),
    )
    with live_server(*ENGINES, *options, directory=tmp_path) as server:
        assert engines_up(server) == 1 and len(nodes.actors()) == 1

        async def load() -> None:
            """Eight calls at any time, until there is a second engine."""
            pending: set[asyncio.Task[Call]] = set()
            while await asyncio.to_thread(engines_up, server) < 2:
                for path, body in mixed_bodies(8 - len(pending), num_tokens=400):
                    pending.add(Call(server.url, path, body).begin())
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                assert {task.result().ending for task in done} == {"answered"}
            rest = await asyncio.gather(*pending)
            assert {call.ending for call in rest} == {"answered"}

        asyncio.run(asyncio.wait_for(load(), SETTLE_S))
        assert len(set(nodes.actors())) == 2
        wait_for(lambda: engines_up(server) == 1, server)
        wait_for(lambda: len(nodes.actors()) == 1, server)
        with server.client() as http:
            assert generate(http, "Hello")
