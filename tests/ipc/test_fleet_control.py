"""One operation asked of several engines: who is asked what, and what the answers come to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sglite.errors import EngineDeadError, RequestError
from sglite.ipc.fleet_control import answers_of, control_all
from sglite.ipc.operations import OPERATIONS

GONE = EngineDeadError("gone")
REFUSED = RequestError("no profile is being recorded")


class Engine:
    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def control(self, name: str, **arguments: Any) -> Any:
        self.asked.append((name, arguments))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def ask(name: str, *answers: Any, **arguments: Any) -> Any:
    engines = {number: Engine(answer) for number, answer in enumerate(answers)}
    return asyncio.run(control_all(engines, name, arguments))


@pytest.mark.parametrize(
    ("name", "answers", "together"),
    [
        ("stats", [{"a": 1, "is_paused": 1}, {"a": 2, "b": 3, "is_paused": 0}],
         {"a": 3, "b": 3, "is_paused": 1}),
        ("loads", [{"num_running_requests": 1}, {"num_running_requests": 4}],
         {"num_running_requests": 5}),
        ("flush_cache", [True, True], True),
        ("flush_cache", [True, False], False),
        ("unpin_prefix", [False, True], True),
        ("unpin_prefix", [False, False], False),
        ("pause", [None, None], None),
        ("resume", [None, None], None),
        ("abort_all", [None, None], None),
        ("start_profile", [None, None], None),
        ("stop_profile", ["a", "b"], "a"),
        ("stop_profile", [REFUSED, "b"], "b"),
        ("stats", [GONE, {"a": 2}], {"a": 2}),
        ("flush_cache", [GONE, True], True),
    ],
)  # fmt: skip
def test_answers_are_put_together(name: str, answers: list[Any], together: Any) -> None:
    arguments = {"path": "/x/trace.json"} if name == "start_profile" else {}
    assert ask(name, *answers, **arguments) == together


@pytest.mark.parametrize(
    ("name", "answers", "fault"),
    [
        ("stats", [GONE, GONE], EngineDeadError),
        ("flush_cache", [True, REFUSED], RequestError),
        ("stop_profile", [REFUSED, REFUSED], RequestError),
        ("stop_profile", [REFUSED, GONE], RequestError),
        ("pause", [None, RuntimeError("a fault")], RuntimeError),
    ],
)
def test_what_fails_is_told(name: str, answers: list[Any], fault: type[Exception]) -> None:
    with pytest.raises(fault):
        ask(name, *answers)


def test_every_operation_is_known_here() -> None:
    """A new one needs a thought: what do the answers of several engines come to?"""
    assert OPERATIONS.keys() == {
        "flush_cache", "stats", "loads", "abort_all", "pause", "resume", "unpin_prefix",
        "start_profile", "stop_profile",
    }  # fmt: skip


def test_each_engine_writes_a_profile_of_its_own() -> None:
    engines = {0: Engine(), 2: Engine()}
    settings = {"path": "/dir/now.trace.json", "num_steps": 3}
    asyncio.run(control_all(engines, "start_profile", settings))
    paths = [engine.asked[0][1]["path"] for engine in engines.values()]
    assert paths == ["/dir/now-engine0.trace.json", "/dir/now-engine2.trace.json"]
    assert engines[2].asked[0][1]["num_steps"] == 3


def test_answers_by_engine() -> None:
    engines = {0: Engine(GONE), 3: Engine({"a": 1})}
    assert asyncio.run(answers_of(engines, "loads")) == {3: {"a": 1}}
    with pytest.raises(EngineDeadError):
        asyncio.run(answers_of({0: Engine(GONE)}, "loads"))
    with pytest.raises(RequestError):
        asyncio.run(answers_of({0: Engine(1), 1: Engine(REFUSED)}, "loads"))
