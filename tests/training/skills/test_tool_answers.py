"""Answers from tools' results: they say what the tool returned, and nothing else."""

from __future__ import annotations

import json
import re

from tests.training.drawing import draws
from tests.training.skills.oracles import value
from tests.training.skills.test_tool_calls import check_call
from training.examples import Example

EXAMPLES = draws("tool_answers", 3_000)
ANSWERS = [example for example in EXAMPLES if example.kind == "tool_answers"]
UNSAID = {"ok", "done", "success"}


def result_of(example: Example) -> dict[str, object]:
    """What the tool returned, by name; a bare value is named "value"."""
    content = example.messages[-1]["content"]
    return dict(json.loads(content)) if content.startswith("{") else {"value": content}


def test_a_result_follows_its_call() -> None:
    for example in ANSWERS:
        *_, asked, call, result = example.messages
        assert [one["role"] for one in (asked, call, result)] == ["user", "assistant", "tool"]
        [called] = call["tool_calls"]
        offered = {tool["function"]["name"] for tool in example.tools}
        assert called["function"]["name"] in offered, example


def test_the_answer_says_every_value_of_the_result() -> None:
    for example in ANSWERS:
        for name, found in result_of(example).items():
            if name != "humidity" and found not in UNSAID:
                assert str(found) in example.answer, example


def test_a_failure_is_told() -> None:
    failed = [one for one in ANSWERS if "error" in result_of(one)]
    assert len(failed) > 50
    for example in failed:
        assert example.answer == f"The tool failed: {result_of(example)['error']}."


def test_calculations_of_tools_are_right() -> None:
    num_checked = 0
    for example in ANSWERS:
        found = re.fullmatch(r"([\d *+-]+) = (-?\d+)\.", example.answer)
        if found:
            num_checked += 1
            assert value(found[1]) == int(found[2]), example
    assert num_checked > 100


def test_a_second_call_fits_its_schema_too() -> None:
    calls = [example for example in EXAMPLES if example.kind == "tool_calls"]
    assert len(calls) > 150
    for example in calls:
        check_call(example)
        assert any(one["role"] == "tool" for one in example.messages)
