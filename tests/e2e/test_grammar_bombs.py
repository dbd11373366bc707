"""Grammars made to do harm (T4): each is answered soon, and nobody else notices."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.process_tree import ENGINE, wait_until_alone
from tests.server.live import LiveServer, live_server

HELPER = "ipc.grammar_process"
ANSWER_S = 5.0
TIME_SLICE_S = 0.005
"""What a core that two programs want goes to one of them for: no gap can be kept below that."""
GOOD = {"json_schema": '{"type": "object", "properties": {"a": {"type": "integer"}}}'}

Sampling = dict[str, Any]


def schema(value: Any) -> Sampling:
    return {"json_schema": json.dumps(value)}


def nested_one_of(depth: int) -> Any:
    """Alternatives that can hardly be told apart, inside of each other."""
    inner: Any = {"type": "string"}
    for level in range(depth):
        inner = {"oneOf": [{"type": "string", "minLength": level}, inner]}
    return inner


def doubling_one_of(depth: int) -> Any:
    """The same by references, with twice as many ways on each level."""
    levels: dict[str, Any] = {"l0": {"type": "string"}}
    for level in range(depth):
        below = {"$ref": f"#/$defs/l{level}"}
        ways = [{"type": "array", "items": below}, {"type": "array", "prefixItems": [below]}]
        levels[f"l{level + 1}"] = {"oneOf": ways}
    return {"$defs": levels, "$ref": f"#/$defs/l{depth}"}


def patterns(count: int) -> Any:
    """Properties by patterns that overlap."""
    return {
        "type": "object",
        "patternProperties": {
            f"^(a|b){{0,{number}}}.*c$": {"type": "string", "pattern": f"(x|y)*z{{{number}}}"}
            for number in range(1, count)
        },
    }


TREE = {
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
            "required": ["children"],
        }
    },
    "$ref": "#/$defs/tree",
}

BOMBS: dict[str, Sampling] = {
    "open groups": {"regex": "(" * 30_000},
    "repeats of repeats": {"regex": "(a{1000}){1000}"},
    "optional then required": {"regex": "a?" * 500 + "a" * 500},
    "itself": schema({"$ref": "#"}),
    "a ring": schema({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
    "a ring that is used": schema(
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    ),
    "a tree": schema(TREE),
    "oneOf in oneOf": schema(nested_one_of(20)),
    "oneOf by references": schema(doubling_one_of(20)),
    "a megabyte of enum": schema({"enum": [f"{number:025}" for number in range(36_000)]}),
    "10,000 properties": schema(
        {"type": "object", "properties": {f"p{number}": {} for number in range(10_000)}}
    ),
    "pattern properties": schema(patterns(12)),
    "left recursion": {"ebnf": 'root ::= root "a" | root "b" | "c"'},
    "left recursion without an end": {"ebnf": 'root ::= root "a"'},
    "no such rule": {"ebnf": "root ::= nothing"},
    "false": schema(False),
    "cannot be fulfilled": schema({"type": "integer", "minimum": 3, "maximum": 2}),
    "required but forbidden": schema(
        {"type": "object", "required": ["a"], "additionalProperties": False}
    ),
    "no JSON": {"json_schema": "{"},
    "deep JSON": {"json_schema": "[" * 60_000},
    "many choices": {"choice": [f"choice {number}" for number in range(1000)]},
}
"""Most are refused by a glance at them."""

SLOW_BOMBS: dict[str, Sampling] = {
    "any text around a letter": {"regex": "(.*a.*){20}"},
    "one of thirty back": {"regex": ".*(a|b).{30}"},
    "a letter far back": {"regex": "(a|b)*a(a|b){20}"},
    "optional n": {"regex": "(a?){500}a{500}"},
    "nested stars": {"regex": "((((a*)*)*)*)*b"},
    "many alternatives": {"regex": "|".join(f"a{{{n}}}b.*c{{{n}}}" for n in range(1, 200))},
    "many patterns": schema(patterns(150)),
    "ambiguous": {"ebnf": 'root ::= root root | "a" | ""'},
    "deep rules": {
        "ebnf": "\n".join(
            ['root ::= r0 "."']
            + [f"r{n} ::= r{n + 1} r{n + 1} | r{n + 1}" for n in range(40)]
            + ['r40 ::= "a" | "b" | ""']
        )
    },
    "long minimum": schema({"type": "string", "minLength": 50_000}),
    "many items": schema({"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 100_000}),
}
"""These need work before their harm shows."""


class Reader(threading.Thread):
    """Reads a stream until it is stopped, one after the other; ``gaps_s`` lie between tokens."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.gaps_s: list[float] = []
        self.error: Exception | None = None
        self._is_stopped = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            with httpx.Client(base_url=self.url, timeout=60.0) as client:
                while not self._is_stopped.is_set():
                    self._read_one(client)
        except Exception as error:  # noqa: BLE001  told by stop()
            self.error = error

    def _read_one(self, client: httpx.Client) -> None:
        sampling = {"max_new_tokens": 1500, "ignore_eos": True}
        body = {"text": "The answer is", "stream": True, "sampling_params": sampling}
        last_s = None
        with client.stream("POST", "/generate", json=body) as answer:
            assert answer.status_code == 200
            for line in answer.iter_lines():
                assert '"error"' not in line, line
                now_s = time.monotonic()
                if line.startswith("data: {") and last_s is not None:
                    self.gaps_s.append(now_s - last_s)
                last_s = now_s
                if self._is_stopped.is_set():
                    return

    def stop(self) -> float:
        """The gap in seconds that one in a hundred exceeds."""
        self._is_stopped.set()
        self.join()
        assert self.error is None, self.error
        return sorted(self.gaps_s)[len(self.gaps_s) * 99 // 100]


def ask(client: httpx.Client, sampling: Sampling) -> httpx.Response:
    """The answer to a request with a grammar, which must come in time."""
    body = {
        "text": "The answer is",
        "sampling_params": {"max_new_tokens": 256, "temperature": 0, **sampling},
    }
    began_s = time.monotonic()
    answer = client.post("/generate", json=body)
    seconds = time.monotonic() - began_s
    name = str(sampling)[:60]
    print(f"{seconds:6.3f} s  {answer.status_code}  {name}  {answer.text[:120]!r}")
    assert seconds <= ANSWER_S or answer.status_code == 200, f"{name} took {seconds:.1f} s"
    return answer


def assert_is_answered(answer: httpx.Response, name: str) -> None:
    assert answer.status_code in (200, 400), f"{name}: {answer.status_code} {answer.text}"
    if answer.status_code == 400:
        error = answer.json()["error"]
        assert error["message"] and error["param"], name


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with live_server(directory=tmp_path) as server:
        yield server


def test_bombs_are_answered_while_a_stream_goes_on(server: LiveServer) -> None:
    engine = server.running(ENGINE)
    reader = Reader(server.url)
    with server.client() as client:
        assert ask(client, GOOD).status_code == 200
        for name, sampling in BOMBS.items():
            assert_is_answered(ask(client, sampling), name)
        for pid in server.running(HELPER):
            os.kill(pid, signal.SIGKILL)
        assert ask(client, {"regex": "[a-c]{3}"}).status_code == 200, "a helper was not replaced"
        streamed = {"text": "The answer is", "stream": True, "sampling_params": {"regex": "("}}
        refused = client.post("/generate", json=streamed)
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "regex"
    print(f"p99 gap of the stream {1000 * reader.stop():.1f} ms")
    assert server.running(ENGINE) == engine
    assert reader.gaps_s
    server.interrupt()
    server.wait()
    wait_until_alone(server, 5.0)


@pytest.mark.slow
def test_bombs_leave_a_stream_as_quick_as_it_was(server: LiveServer) -> None:
    engine = server.running(ENGINE)
    with server.client() as client:
        ask(client, GOOD)  # the process is there
        reader = Reader(server.url)
        time.sleep(10.0)
        base_s = reader.stop()
        reader = Reader(server.url)
        names = list(BOMBS | SLOW_BOMBS) * 3
        random.Random(4).shuffle(names)
        for number, name in enumerate(names):
            sampling = (BOMBS | SLOW_BOMBS)[name]
            if "regex" in sampling and len(sampling["regex"]) < 4000:
                sampling = {"regex": sampling["regex"] + f"|never{number}"}  # not one that is known
            assert_is_answered(ask(client, sampling), name)
        p99_s = reader.stop()
        print(f"p99 gap {1000 * base_s:.1f} ms alone, {1000 * p99_s:.1f} ms beside the bombs")
        assert p99_s <= 2 * max(base_s, TIME_SLICE_S)
        assert ask(client, GOOD).status_code == 200
    assert server.running(ENGINE) == engine


@pytest.mark.slow
def test_the_death_of_the_server_ends_a_process_that_is_compiling(server: LiveServer) -> None:
    with server.client() as client:
        ask(client, GOOD)
    bomb = threading.Thread(target=_ask_and_fail, args=(server, SLOW_BOMBS["deep rules"]))
    bomb.start()
    time.sleep(0.5)
    os.kill(server.process.pid, signal.SIGKILL)
    wait_until_alone(server, ANSWER_S)
    bomb.join()


def _ask_and_fail(server: LiveServer, sampling: Sampling) -> None:
    with server.client() as client, pytest.raises(httpx.HTTPError):
        ask(client, sampling)
