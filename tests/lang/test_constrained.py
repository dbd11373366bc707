"""Answers that must look like something, end to end on the embedded model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import jsonschema
import pytest

from sglite import LLM, lang
from sglite.errors import RequestError

CODE = r"[A-C]{2}-[0-9]{3}"
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(max_total_tokens=8192) as llm:
        yield llm


@lang.function
def card(s, number):
    s += f"Card {number}\nCode: " + lang.gen("code", max_tokens=24, regex=CODE)
    s += "\nOwner: " + lang.gen("owner", max_tokens=64, json_schema=SCHEMA)
    s += "\nYears: " + lang.gen_int("years", max_tokens=12)
    s += "\nMember: " + lang.gen("member", max_tokens=8, dtype=bool)


@pytest.mark.parametrize("temperature", [0.0, 2.0])
@pytest.mark.parametrize("stream", [False, True])
def test_answers_match_what_was_asked(llm, temperature, stream):
    state = card.run(7, temperature=temperature, stream=stream, sampling_seed=3, backend=llm)
    assert re.fullmatch(CODE, state["code"])
    jsonschema.validate(json.loads(state["owner"]), SCHEMA)
    int(state["years"])
    assert state["member"] in ("True", "False")


def test_a_batch_with_grammars_ends_well(llm):
    states = card.run_batch([{"number": number} for number in range(8)], backend=llm)
    assert [state.error() for state in states] == [None] * 8
    assert all(re.fullmatch(CODE, state["code"]) for state in states)


def test_a_schema_that_cannot_be_is_told_to_the_reader(llm):
    @lang.function
    def program(s):
        s += "a" + lang.gen("x", json_schema="{")

    with pytest.raises(RequestError):
        program.run(backend=llm).text()
