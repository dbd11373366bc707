"""T3: whatever is sent, the server says so and goes on as if nothing had happened."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from sglite.server.native.control import NOT_FLUSHED
from tests.e2e.http_calls import Answer, Call, exchange, request
from tests.e2e.malformed import broken_json_calls, field_calls, mutated_calls, shape_calls
from tests.e2e.malformed_http import http_calls
from tests.e2e.sound_calls import sound_calls
from tests.server.live import LiveServer, live_server

CONTEXT_LENGTH = 256
POOL_TOKENS = 1024
SMALL_POOL_TOKENS = 224
OPTIONS = (f"--context-length={CONTEXT_LENGTH}", "--read-timeout-s=2", "--check")
CANARY = request(
    "/generate",
    json.dumps(
        {"text": "The capital of France is", "sampling_params": {"temperature": 0}}
    ).encode(),
    name="the canary",
)
CANARY_INTERVAL = 100
MAX_GROWTH_KIB = 50 << 10
"""Of all processes of the server together."""


class Siege:
    """A server under malformed requests, and what has come of them so far."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self._port = int(server.url.rpartition(":")[2])
        self._expected = self._canary()
        for call in sound_calls() * 2:
            assert self.send(call).status == 200, call.name
        self._pids = self._engine_pids()
        self._memory_kib = self._used_kib()
        self.statuses: Counter[int | None] = Counter()
        self.refusals_s: list[float] = []

    def run(self, calls: Iterable[Call]) -> None:
        """Send all of them, with a canary in between, and look after the last one."""
        for number, call in enumerate(calls, start=1):
            answer = self.send(call)
            self.statuses[answer.status] += 1
            if answer.status is not None and answer.status >= 400:
                self.refusals_s.append(answer.seconds)
            if number % CANARY_INTERVAL == 0:
                assert self._canary() == self._expected, f"after {number} calls: {call.name}"
        assert self._canary() == self._expected
        self._check_server()

    def send(self, call: Call) -> Answer:
        """Send one and check its answer."""
        answer = exchange(self._port, call)
        check(call, answer)
        if call.path == "/pause_generation" and answer.status == 200:
            self.send(request("/continue_generation", b"{}"))
        return answer

    def _canary(self) -> tuple[str, list[int]]:
        answer = self.send(CANARY).json()
        return answer["text"], answer["output_ids"]

    def _check_server(self) -> None:
        assert self._engine_pids() == self._pids
        assert "Traceback" not in self._server.errors, self._server.errors
        growth_kib = self._used_kib() - self._memory_kib
        assert growth_kib < MAX_GROWTH_KIB, f"grew by {growth_kib / 1024:.1f} MiB"
        self.growth_mib = growth_kib / 1024
        self._check_pool()

    def _check_pool(self) -> None:
        """Once what was pinned is let go, nothing holds a page."""
        for prefix in self._get("/prefix")["prefixes"]:
            exchange(self._port, request(f"/prefix/{prefix['name']}", method="DELETE"))
        flush = request("/flush_cache?timeout=4")
        assert exchange(self._port, flush).status == 200
        (load,) = self._get("/v1/loads")["loads"]
        held = ("num_running_reqs", "num_waiting_reqs", "num_waiting_tokens", "num_used_tokens")
        assert {name: load[name] for name in held} == dict.fromkeys(held, 0)
        (state,) = self._get("/server_info")["internal_states"]
        stats = state["stats"]
        assert stats["cache_num_free_tokens"] == stats["cache_num_total_tokens"] > 0
        assert stats["num_running_requests"] == stats["num_waiting_requests"] == 0

    def _get(self, path: str) -> dict:
        answer = exchange(self._port, request(path, method="GET"))
        assert answer.status == 200
        return answer.json()

    def _engine_pids(self) -> list[int]:
        """The process that renders chats may be replaced; the others may not."""
        return [self._server.process.pid, *self._server.running("ipc.engine_process")]

    def _used_kib(self) -> int:
        pids = [self._server.process.pid, *self._server.children()]
        return sum(used_kib(pid) for pid in pids)

    def report(self) -> str:
        """One line for people."""
        self.refusals_s.sort()
        p99_ms = self.refusals_s[len(self.refusals_s) * 99 // 100] * 1000
        statuses = ", ".join(f"{status}: {count}" for status, count in self.statuses.most_common())
        return (
            f"{self.statuses.total()} calls ({statuses}); refusals p99 {p99_ms:.1f} ms, slowest "
            f"{self.refusals_s[-1]:.2f} s; memory {self.growth_mib:+.1f} MiB"
        )


def used_kib(pid: int) -> int:
    """Private memory of a process, in RAM or swapped out."""
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(int(kib) for kib in re.findall(r"^(?:RssAnon|VmSwap):\s+(\d+)", status, re.M))


def check(call: Call, answer: Answer) -> None:
    """No fault of the server, and every refusal in the usual shape."""
    status = answer.status
    if status is None:
        assert call.may_close, f"{call.name}: closed without an answer"
        return
    if status in (429, 503):
        assert "retry-after" in answer.headers, call.name
    assert status < 500 or status == 503, f"{call.name}: {status} {answer.body[:300]!r}"
    assert b'"internal_error"' not in answer.body, f"{call.name}: {answer.body[-300:]!r}"
    if status >= 400 and call.method != "HEAD" and answer.body != NOT_FLUSHED.encode():
        check_error(call, answer)


def check_error(call: Call, answer: Answer) -> None:
    """OpenAI's shape and SGLang's at once."""
    error = answer.json()
    inner = error["error"]
    assert error["object"] == "error" and error["code"] == answer.status, call.name
    assert set(inner) == {"message", "type", "param", "code"}, call.name
    assert inner["message"] == error["message"] != "", call.name
    assert inner["param"] == error["param"], call.name


def everyday_calls() -> Iterator[Call]:
    """About a thousand: a sample of everything."""
    chance = random.Random(1)
    yield from chance.sample(list(field_calls()), 500)
    yield from chance.sample(list(shape_calls([CONTEXT_LENGTH, POOL_TOKENS])), 60)
    yield from chance.sample(list(broken_json_calls()), 90)
    yield from (call for call in chance.sample(list(http_calls()), 150) if not is_slow(call))
    yield from mutated_calls(chance, 220)


def is_slow(call: Call) -> bool:
    """True where the server waits for the rest until its patience ends."""
    return "then silence" in call.name


def all_calls() -> Iterator[Call]:
    """All of the tables, and mutations up to more than ten thousand."""
    yield from field_calls()
    yield from shape_calls([CONTEXT_LENGTH, POOL_TOKENS])
    yield from broken_json_calls()
    yield from http_calls()
    yield from mutated_calls(random.Random(2), 3000)


def besiege(directory: Path, calls: Iterable[Call], *, pool_tokens: int = POOL_TOKENS) -> Siege:
    """A server that takes all of these calls."""
    pool = f"--max-total-tokens={pool_tokens}"
    with live_server(*OPTIONS, pool, directory=directory) as server:
        siege = Siege(server)
        siege.run(calls)
        print(siege.report())
    return siege


def test_a_thousand_malformed_requests_change_nothing(tmp_path: Path) -> None:
    siege = besiege(tmp_path, everyday_calls())
    assert siege.statuses.total() >= 1000
    assert siege.statuses[400] > siege.statuses.total() / 2


@pytest.mark.slow
@pytest.mark.parametrize("optimize", ["", "1"], ids=["plain", "python -O"])
def test_ten_thousand_malformed_requests_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimize: str
) -> None:
    monkeypatch.setenv("PYTHONOPTIMIZE", optimize)
    siege = besiege(tmp_path, all_calls())
    assert siege.statuses.total() >= 10_000


@pytest.mark.slow
def test_a_pool_smaller_than_the_context_changes_nothing_about_that(tmp_path: Path) -> None:
    calls = itertools.chain(
        shape_calls([SMALL_POOL_TOKENS, CONTEXT_LENGTH]), mutated_calls(random.Random(3), 1000)
    )
    besiege(tmp_path, calls, pool_tokens=SMALL_POOL_TOKENS)
