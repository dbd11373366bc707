"""Tool calls: they parse, fit a schema on offer, and take their arguments from the question."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.training.drawing import draws, question
from tests.training.skills.oracles import fits
from training.examples import Example
from training.skills.tool_values import OPERATORS

EXAMPLES = draws("tool_calls", 3_000)
CALCULATORS = {"calculate", "calculator", "compute", "evaluate", "calc", "math"}


def parsed(answer: str) -> dict[str, Any] | None:
    """The call of an answer that is one."""
    found = re.fullmatch(r"<tool_call>\n(.*)\n</tool_call>", answer)
    return json.loads(found[1]) if found else None


def check_call(example: Example) -> None:
    """Asserts that the call fits one tool and copies its arguments from the question."""
    call = parsed(example.answer)
    assert call is not None and set(call) == {"name", "arguments"}, example
    [tool] = [one["function"] for one in example.tools if one["function"]["name"] == call["name"]]
    parameters = tool["parameters"]
    assert list(call["arguments"]) == parameters["required"], example
    asked = question(example)
    for sign, word in OPERATORS.items():
        asked = asked.replace(f" {word} ", f" {sign} ")
    for name, argument in call["arguments"].items():
        assert fits(parameters["properties"][name], argument), example
        assert str(argument) in asked, example


def test_every_call_fits_a_schema_and_copies_from_the_question() -> None:
    calls = [example for example in EXAMPLES if "<tool_call>" in example.answer]
    for example in calls:
        check_call(example)
    assert 0.8 < len(calls) / len(EXAMPLES) < 0.95


def test_what_no_tool_fits_is_answered_without_one() -> None:
    plain = [example for example in EXAMPLES if "<tool_call>" not in example.answer]
    assert len(plain) > 200
    for example in plain:
        assert example.tools
        names = {tool["function"]["name"] for tool in example.tools}
        if re.search(r"\d \+ \d", question(example)):
            assert not names & CALCULATORS, example


def test_an_instance_is_held_out_in_every_schema() -> None:
    keys: dict[tuple[str, ...], set[str]] = {}
    for example in EXAMPLES:
        call = parsed(example.answer)
        if call and call["arguments"]:
            values = tuple(map(str, call["arguments"].values()))
            assert example.key.split("|")[1:] == list(values), example
            keys.setdefault((example.key.split("|")[0], *values), set()).add(example.key)
        elif call:
            assert example.key == "", example
    assert all(len(found) == 1 for found in keys.values())
