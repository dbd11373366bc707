"""Callers who leave in the middle of anything, by RST and by FIN: nothing of theirs stays behind.

The pool is small, the chunks are smaller and few requests run at once, so that callers leave while
they wait, between the chunks of their prompts, while they are retracted.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.raw_http import RawConnection, request_bytes
from tests.e2e.server_state import (
    SETTLE_S,
    assert_nothing_leaked,
    log_entries,
    open_files,
    stats,
    wait_until_files_are_closed,
    wait_until_idle,
)
from tests.server.asgi import events
from tests.server.live import LiveServer, live_server

ROUTES = ("/generate", "/v1/completions", "/v1/chat/completions")
POINTS = ("body", "queue", "prefill", "decode", "retracted", "last")
CHUNK = 64
POOL_TOKENS = 2048
NUM_CALLERS = 16
SMALL = (
    "--max-running-requests 6 --context-length 2048 --schedule-conservativeness 0.05 "
    f"--chunked-prefill-size {CHUNK} --max-total-tokens {POOL_TOKENS} --check "
    "--log-format json --log-requests"
).split()
WORDS = "capital France Paris river the of is and cache page token sum number model".split()
STAYING = {
    "text": "The capital of France is",
    "stream": True,
    "sampling_params": {"temperature": 0, "max_new_tokens": 150, "ignore_eos": True},
}


@dataclass(frozen=True)
class Departure:
    """One caller: what it asks for, and where and how it leaves."""

    number: int
    route: str
    is_stream: bool
    is_reset: bool
    point: str

    @property
    def name(self) -> str:
        """Its X-Request-Id."""
        return f"caller-{self.number}"


def departures(count: int) -> list[Departure]:
    """As many of each kind, in an order that mixes them."""
    kinds = itertools.product(ROUTES, (True, False), (True, False), POINTS)
    chosen = list(itertools.islice(itertools.cycle(kinds), count))
    random.Random(5).shuffle(chosen)
    return [Departure(number, *kind) for number, kind in enumerate(chosen)]


def body_of(caller: Departure, rng: random.Random) -> dict[str, Any]:
    """A call that ends by its length alone; its prompt has whole chunks where it is token ids."""
    num_chunks = rng.randint(6, 12) if caller.point == "prefill" else 1
    limit = {"last": 8, "retracted": 500}.get(caller.point, 120)
    token_ids = [rng.randrange(300, 4000) for _ in range(num_chunks * CHUNK)]
    text = " ".join(rng.choice(WORDS) for _ in range(num_chunks * CHUNK // 2))
    options = {"max_tokens": limit, "ignore_eos": True, "stream": caller.is_stream, "seed": 1}
    if caller.route == "/v1/completions":
        return {"prompt": token_ids, **options}
    if caller.route == "/v1/chat/completions":
        return {"messages": [{"role": "user", "content": text}], **options}
    sampling = {"max_new_tokens": limit, "ignore_eos": True, "sampling_seed": 1}
    return {"input_ids": token_ids, "stream": caller.is_stream, "sampling_params": sampling}


def come_and_go(caller: Departure, url: str) -> tuple[float, bool]:
    """Call and leave; when that was, and whether the answer had begun."""
    rng = random.Random(caller.number)
    headers = {"X-Request-Id": caller.name}
    data = request_bytes(caller.route, body_of(caller, rng), headers=headers)
    connection = RawConnection(url)
    if caller.point == "body":
        data = data[: -rng.randint(1, 100)]
    connection.send(data)
    has_begun = linger(caller, connection, rng)
    left_s = time.time()
    connection.reset() if caller.is_reset else connection.finish()
    return left_s, has_begun


def linger(caller: Departure, connection: RawConnection, rng: random.Random) -> bool:
    """Wait until the moment to leave; True where events of the answer came."""
    waits = {"body": 0.03, "queue": 0.05, "prefill": 0.6, "decode": 1.0, "retracted": 3.0}
    if caller.is_stream and caller.point in ("decode", "last"):
        most = 7 if caller.point == "last" else 40
        return connection.read_events(most if caller.point == "last" else rng.randint(1, most)) > 0
    time.sleep(rng.uniform(0, waits.get(caller.point, 0.5)))
    return False


class Staying:
    """Streams the same greedy answer again and again while others come and go."""

    def __init__(self, url: str) -> None:
        self.texts = [self._ask(url)]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(url,))

    def _ask(self, url: str) -> str:
        answer = httpx.post(f"{url}/generate", json=STAYING, timeout=300)
        *_, last, done = events(answer.text)
        assert done == "[DONE]"
        return str(last.get("text", last))

    def _run(self, url: str) -> None:
        while not self._is_over.is_set():
            self.texts.append(self._ask(url))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside, answers are collected."""
        self._thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            self._thread.join()


@contextmanager
def retracting(url: str) -> Iterator[None]:
    """Inside, all that runs is sent back to the queue now and then, and waits there a moment."""
    is_over = threading.Event()

    def run() -> None:
        with httpx.Client(base_url=url, timeout=300) as http:
            num_steps = 0
            while not is_over.wait(0.3):
                if stats(http)["num_steps"] < num_steps + 40:
                    continue  # on a busy machine nobody would come far otherwise
                num_steps = stats(http)["num_steps"]
                http.post("/pause_generation", json={"mode": "retract"}).raise_for_status()
                is_over.wait(0.3)
                http.post("/continue_generation").raise_for_status()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def check_departures(count: int, directory: Path, *options: str) -> Counter[str]:
    """The whole test, of a server of its own; how far how many had come when they were ended."""
    with live_server(*SMALL, *options, directory=directory) as server, server.client() as http:
        staying = Staying(server.url)
        for route in ROUTES:  # what is opened once and kept is no leak
            come_and_go(Departure(-1, route, True, False, "last"), server.url)
        wait_until_idle(http)
        files_before = open_files(server)
        callers = departures(count)
        with (
            staying.running(),
            retracting(server.url),
            ThreadPoolExecutor(NUM_CALLERS) as pool,
        ):
            left = list(pool.map(lambda caller: come_and_go(caller, server.url), callers))
        idle_s = wait_until_idle(http)
        wait_until_files_are_closed(server, files_before)
        assert_nothing_leaked(http)
        assert len(staying.texts) > 1
        assert set(staying.texts) == {staying.texts[0]}
        assert server.process.poll() is None
        entries = log_entries(server)
        print(f"idle after {idle_s:.3f} s, {len(staying.texts)} whole answers, {stats(http)}")
        return check_log(callers, left, entries)


def check_log(
    callers: list[Departure], left: list[tuple[float, bool]], entries: list[dict[str, Any]]
) -> Counter[str]:
    """A line per call and a line per answer at most; every answer that began has ended, soon."""
    assert {entry["event"] for entry in entries} == {"http_finished", "request_finished"}
    lines = Counter((entry["event"], entry["request_id"]) for entry in entries)
    for kind in ("http_finished", "request_finished"):
        assert max(lines[kind, caller.name] for caller in callers) == 1
    ends = {entry["request_id"]: entry for entry in entries if entry["event"] == "request_finished"}
    late_s = [0.0]
    for caller, (left_s, has_begun) in zip(callers, left, strict=True):
        assert not (caller.point == "body" and caller.name in ends)
        assert not has_begun or caller.name in ends
        if caller.name in ends:
            late_s.append(datetime.fromisoformat(ends[caller.name]["time"]).timestamp() - left_s)
    assert max(late_s) < SETTLE_S
    ours = [entry for name, entry in ends.items() if name.startswith("caller-")]
    states = Counter(state_at_the_end(entry) for entry in ours)
    print(f"latest end {max(late_s):.3f} s after its caller had left; ends: {dict(states)}")
    return states


def state_at_the_end(entry: dict[str, Any]) -> str:
    """How far a request had come when it was ended."""
    if entry["reason"] != "abort":
        return "complete"
    if "queue_s" not in entry:
        return "waiting"
    if entry.get("retractions", 0):
        return "retracted"
    return "decoding" if "ttft_s" in entry else "in its prompt"


def test_callers_who_leave_anywhere_leave_nothing_behind(tmp_path):
    states = check_departures(72, tmp_path)
    assert states["waiting"] and states["decoding"] + states["retracted"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [(), ("--max-in-flight", "2", "--page-size", "4"), ("--api-workers", "2")],
    ids=["default", "two steps in flight", "two HTTP processes"],
)
def test_a_thousand_callers_who_leave_leave_nothing_behind(tmp_path, options):
    states = check_departures(1000, tmp_path, *options)
    assert all(states[each] for each in ("waiting", "decoding", "retracted"))


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that logs no calls."""
    options = [option for option in SMALL if option != "--log-requests"]
    with live_server(*options, directory=tmp_path_factory.mktemp("silent")) as server:
        yield server


def test_nobody_who_leaves_is_logged_unless_calls_are(silent):
    with silent.client() as http:
        before = silent.errors
        callers = departures(24)
        with ThreadPoolExecutor(NUM_CALLERS) as pool:
            list(pool.map(lambda caller: come_and_go(caller, silent.url), callers))
        wait_until_idle(http)
        assert silent.errors == before


@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "whole"])
def test_caller_who_has_sent_another_call_ahead_and_leaves_is_noticed(silent, is_stream):
    """The call that runs is not the last that came: it has to hear of it all the same."""
    endless = {"text": "a", "sampling_params": {"max_new_tokens": 1900, "ignore_eos": True}}
    with silent.client() as http:
        num_before = stats(http)["num_output_tokens"]
        connection = RawConnection(silent.url)
        connection.send(request_bytes("/generate", endless | {"stream": is_stream}))
        while not stats(http)["num_running_requests"]:
            time.sleep(0.01)
        connection.send(request_bytes("/generate", endless))
        time.sleep(0.1)
        connection.reset()
        wait_until_idle(http)
        assert stats(http)["num_output_tokens"] - num_before < 1900
