"""Several engines behind one server: where requests go, and what the death of one does."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest

from tests.e2e.async_calls import Call, mixed_bodies, wait_until_accepted
from tests.e2e.process_tree import ENGINE
from tests.server.live import LiveServer, live_server

TOLD_S = 5.0
WHOLE_S = 15.0
NUM_PROBES = 8
"""Enough connections to meet every HTTP process."""
NUM_SAMPLES = 16
"""Together less than --balance-tokens."""
PROMPT = "The capital of France is Paris. The capital of Italy is Rome. Now the capital of "


def of_engines(http: httpx.Client, name: str) -> dict[int, float]:
    """A metric of each engine."""
    found = re.findall(
        rf'^sglite:{name}{{engine="(\d+)"\S* (\S+)$', http.get("/metrics").text, re.MULTILINE
    )
    return {int(number): float(value) for number, value in found}


def generate(http: httpx.Client, text: str, session: str | None = None, **sampling) -> dict:
    body = {"text": text, "sampling_params": {"temperature": 0, "max_new_tokens": 4, **sampling}}
    headers = {} if session is None else {"X-Session-Id": session}
    answer = http.post("/generate", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def engine_of(http: httpx.Client, text: str, session: str | None = None) -> int:
    """The engine that answered a request; no other may end meanwhile."""
    before = of_engines(http, "engine_finished_reqs")
    generate(http, text, session)
    after = of_engines(http, "engine_finished_reqs")
    (number,) = [number for number in after if after[number] > before.get(number, 0)]
    return number


@contextmanager
def running(server: LiveServer, text: str) -> Iterator[int]:
    """A prompt whose samples run meanwhile; their engine. They are seconds of work."""
    sampling = {"n": NUM_SAMPLES, "max_new_tokens": 1900, "ignore_eos": True}
    body = {"text": text, "stream": True, "sampling_params": sampling}
    with server.client() as http, http.stream("POST", "/generate", json=body) as answer:
        lines = answer.iter_lines()  # to let go of it would end the call
        next(lines)
        with server.client() as other:
            runs = of_engines(other, "engine_running_reqs")
            (number,) = [number for number, count in runs.items() if count]
            yield number
            assert of_engines(other, "engine_running_reqs")[number], "it should have run meanwhile"
    with server.client() as http:
        while any(of_engines(http, "engine_running_reqs").values()):  # it is aborted
            time.sleep(0.02)


# -- where requests go -----------------------------------------------------------------------------


def in_turn(server: LiveServer, http: httpx.Client) -> None:
    assert [engine_of(http, "same") for _ in range(4)] in ([0, 1, 0, 1], [1, 0, 1, 0])


def to_the_least_loaded(server: LiveServer, http: httpx.Client) -> None:
    with running(server, "busy") as busy:
        assert {engine_of(http, f"{i}") for i in range(4)} == {1 - busy}


def at_random(server: LiveServer, http: httpx.Client) -> None:
    assert {engine_of(http, "same") for _ in range(20)} == {0, 1}


def to_the_longest_prefix(server: LiveServer, http: httpx.Client) -> None:
    """Also where another engine has less to do, as long as that is little."""
    with running(server, PROMPT * 4) as busy:
        assert engine_of(http, "Something else, which nobody has, " * 8) == 1 - busy
        assert {engine_of(http, PROMPT * 4 + each) for each in ("Spain", "Peru")} == {busy}
    assert engine_of(http, "Something else, which nobody has, " * 8 + "again") == 1 - busy


def to_the_engine_of_the_session(server: LiveServer, http: httpx.Client) -> None:
    with running(server, "busy") as busy:
        assert engine_of(http, "one", "ann") == 1 - busy
    with running(server, "busy again") as busy_again:
        assert engine_of(http, "two", "bob") == 1 - busy_again
        assert {engine_of(http, f"{i}", "ann") for i in range(3)} == {1 - busy}
        assert {engine_of(http, f"{i}", "bob") for i in range(3)} == {1 - busy_again}


RULES = {
    "round_robin": in_turn,
    "shortest_queue": to_the_least_loaded,
    "random": at_random,
    "cache_aware": to_the_longest_prefix,
    "sticky": to_the_engine_of_the_session,
}


@pytest.mark.slow
@pytest.mark.parametrize("policy", RULES)
def test_each_request_goes_where_the_rule_says(tmp_path, policy):
    options = ("--dp", "2", "--routing-policy", policy)
    with live_server(*options, directory=tmp_path) as server, server.client() as http:
        RULES[policy](server, http)


# -- an engine dies --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Aftermath:
    """Seconds from the kill until the last call was told of it, and until all engines were up."""

    told_s: float
    whole_s: float
    endings: dict[str, int]


def seen_up(server: LiveServer) -> bool:
    """True where every HTTP process has both engines."""
    for _ in range(NUM_PROBES):
        with server.client() as http:
            if of_engines(http, "engine_up") != {0: 1.0, 1: 1.0}:
                return False
    return True


async def strike(server: LiveServer, num_calls: int, *, num_tokens: int) -> Aftermath:
    """Kill an engine while calls run; everybody else goes on."""
    bodies = mixed_bodies(num_calls, num_tokens=num_tokens)
    calls = [Call(server.url, path, body) for path, body in bodies]
    tasks = [call.begin() for call in calls]
    await wait_until_accepted(server.url, num_calls)
    struck_s = time.monotonic()
    os.kill(server.running(ENGINE)[0], signal.SIGKILL)
    while await asyncio.to_thread(seen_up, server):  # it has to be seen dead before it is up again
        assert time.monotonic() - struck_s < TOLD_S
    while not await asyncio.to_thread(seen_up, server):
        assert time.monotonic() - struck_s < 10 * WHOLE_S, server.errors
        await asyncio.sleep(0.1)
    whole_s = time.monotonic() - struck_s
    await asyncio.wait_for(asyncio.gather(*tasks), 300)
    endings = [call.ending for call in calls]
    told = [call.ended_s - struck_s for call in calls if call.ending != "answered"]
    counts = {ending: endings.count(ending) for ending in sorted(set(endings))}
    assert all(call.num_tokens == num_tokens for call in calls if call.ending == "answered")
    return Aftermath(max(told, default=0.0), whole_s, counts)


def num_moved(log: str) -> int:
    """Requests that went from the dead engine to another one."""
    return sum(int(count) for count in re.findall(r"engine_lost .* moved=(\d+)", log))


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_killed_engine_is_told_replaced_and_its_waiting_requests_are_not_lost(
    tmp_path, num_workers
):
    options = (
        *("--dp", "2", "--routing-policy", "round_robin", "--max-running-requests", "16"),
        *("--api-workers", str(num_workers)),
    )
    with live_server(*options, directory=tmp_path) as server:
        aftermath = asyncio.run(strike(server, 64, num_tokens=1000))
        print(f"engine killed, 64 calls, {num_workers} HTTP processes: {aftermath}")
        assert set(aftermath.endings) <= {"answered", "told", "refused"}, aftermath
        num_failed = 64 - aftermath.endings["answered"]
        assert 1 <= num_failed <= 16, aftermath  # those that ran there, and no other
        assert num_moved(server.errors) >= 1
        assert aftermath.told_s <= TOLD_S, aftermath
        with server.client() as http:
            before = of_engines(http, "engine_finished_reqs")
            for _ in range(4):
                generate(http, "again")
            after = of_engines(http, "engine_finished_reqs")
            assert all(after[number] > before[number] for number in (0, 1))
        server.interrupt()
        assert server.wait() == 0
        server.assert_nothing_left()
        assert aftermath.whole_s <= WHOLE_S, aftermath


@pytest.mark.slow
def test_the_server_outlives_all_its_engines(tmp_path):
    with live_server("--dp", "2", directory=tmp_path) as server, server.client() as http:
        for pid in server.running(ENGINE):
            os.kill(pid, signal.SIGKILL)
        while http.get("/health").status_code == 200:
            time.sleep(0.02)
        refused = http.post("/generate", json={"text": "a"})
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
        assert "started again" in json.loads(refused.text)["error"]["message"]
        assert http.get("/metrics").status_code == 200
        deadline_s = time.monotonic() + 10 * WHOLE_S
        while not seen_up(server):
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        assert generate(http, "The capital of France is")["text"].startswith(" Paris")
        assert len(server.running(ENGINE)) == 2


@pytest.mark.slow
def test_limits_make_requests_wait_and_none_is_lost(tmp_path):
    options = ("--dp", "2", "--max-inflight-total", "3", "--max-inflight-per-engine", "2")
    with live_server(*options, directory=tmp_path) as server:

        async def load() -> list[str]:
            bodies = mixed_bodies(24, num_tokens=50)
            calls = [Call(server.url, path, body) for path, body in bodies]
            tasks = [call.begin() for call in calls]
            most = 0.0
            with server.client() as http:
                while not all(task.done() for task in tasks):
                    runs = await asyncio.to_thread(of_engines, http, "engine_running_reqs")
                    most = max(most, sum(runs.values()))
            assert most <= 3
            return [call.ending for call in calls]

        assert asyncio.run(load()) == ["answered"] * 24


def test_two_engines_serve_and_one_may_die(tmp_path):
    options = ("--dp", "2", "--routing-policy", "round_robin")
    with live_server(*options, directory=tmp_path) as server, server.client() as http:
        assert "2 engines" in server.errors
        for _ in range(4):
            assert generate(http, "The capital of France is")["text"].startswith(" Paris")
        assert of_engines(http, "engine_finished_reqs") == {0: 2.0, 1: 2.0}
        os.kill(server.running(ENGINE)[0], signal.SIGKILL)
        while of_engines(http, "engine_up") == {0: 1.0, 1: 1.0}:
            time.sleep(0.02)
        for _ in range(3):
            assert generate(http, "The capital of France is")["text"].startswith(" Paris")
        assert http.get("/health").status_code == 200
        server.interrupt()
        assert server.wait() == 0
        server.assert_nothing_left()
