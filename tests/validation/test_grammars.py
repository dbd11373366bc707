"""Grammars from outside: their form and size, and that there is one."""

from __future__ import annotations

import json

import pytest

from sglite.errors import RequestError
from sglite.request import SamplingParams
from sglite.validation import sampling_params_from_dict, validate_sampling_params
from sglite.validation.fields import shown
from sglite.validation.grammars import (
    GRAMMARS,
    MAX_CHOICES,
    MAX_GRAMMAR_CHARACTERS,
    check_one_grammar,
    choices,
    grammar_text,
    schema_text,
    tag_text,
)

ODD = [5, 1.5, True, [], ["a"], "x" * (MAX_GRAMMAR_CHARACTERS + 1), "\ud800"]
NO_JSON = ["{", "{'a': 1}", "NaN", '{"a": Infinity}', "[" * 60_000, "1" * 5000, "nul", " "]


def refused(check, value) -> RequestError:
    with pytest.raises(RequestError) as caught:
        check("field", value)
    assert caught.value.param == "field"
    message = str(caught.value)
    assert message.startswith("field ") and message.isascii() and len(message) < 200
    return caught.value


SCHEMAS = [{"b": 1, "a": [1.0, None, "é"]}, '{"b" : 1, "a":[1.0,null,"é"]}']


@pytest.mark.parametrize("value", SCHEMAS, ids=["object", "text"])
def test_a_schema_becomes_compact_text_with_its_keys_in_order(value):
    text = schema_text("field", value)
    assert text == '{"b":1,"a":[1.0,null,"é"]}'
    assert schema_text("field", text) == text


@pytest.mark.parametrize("text", ["true", "false"])
def test_a_schema_may_be_a_boolean_in_text_alone(text):
    assert schema_text("field", text) == text
    refused(schema_text, json.loads(text))


@pytest.mark.parametrize("check", [schema_text, tag_text])
@pytest.mark.parametrize("value", [*ODD, *NO_JSON, "5", '"a"', "[]", "null"], ids=shown)
def test_what_is_no_object_is_refused(check, value):
    refused(check, value)


def test_no_json_says_where():
    assert "at character 1" in str(refused(schema_text, "{x"))


def test_a_lone_surrogate_in_json_is_refused():
    refused(schema_text, '{"const": "\\ud800"}')


def test_an_object_that_gets_too_long_is_refused():
    assert "65,536" in str(refused(schema_text, {"enum": ["x" * MAX_GRAMMAR_CHARACTERS]}))


@pytest.mark.parametrize("value", [each for each in ODD if each != []] + [{}, []], ids=shown)
def test_a_grammar_is_a_text(value):
    refused(grammar_text, value)
    assert grammar_text("field", "a+") == "a+"


@pytest.mark.parametrize("check", [schema_text, tag_text, grammar_text])
def test_an_empty_text_is_none(check):
    assert check("field", "") is None


def test_an_empty_choice_is_named():
    assert "got none in field[1]" in str(refused(choices, ["a", "", "b"]))


def test_choices_are_a_bounded_list_of_texts():
    assert choices("field", ["a", "b"]) == choices("field", ("a", "b")) == ("a", "b")
    assert choices("field", []) == ()
    too_many, too_long = ["a"] * (MAX_CHOICES + 1), ["x" * 4096] * 17
    for value in ("ab", 5, {"a": 1}, [5], [""], [None], too_many, too_long):
        refused(choices, value)


# -- in sampling parameters ------------------------------------------------------------------------

VALUES = {
    "json_schema": {"type": "object"},
    "regex": "a+",
    "ebnf": 'root ::= "a"',
    "choice": ["a", "b"],
    "structural_tag": {"type": "structural_tag", "format": {}},
}


@pytest.mark.parametrize("first", GRAMMARS)
@pytest.mark.parametrize("second", GRAMMARS)
def test_two_grammars_are_refused_by_both_names(first, second):
    values = {name: VALUES[name] for name in (first, second)}
    if first == second:
        assert sampling_params_from_dict(values).grammar.kind == first
        return
    with pytest.raises(RequestError) as caught:
        sampling_params_from_dict(values)
    assert first in str(caught.value) and second in str(caught.value)
    assert caught.value.param in values


def test_unset_ones_do_not_count():
    check_one_grammar({"a": None, "b": (), "c": "x"})
    unset = {"regex": "", "choice": [], "ebnf": None}
    params = sampling_params_from_dict({**unset, "json_schema": "{}"})
    assert params.grammar.text == "{}"
    assert sampling_params_from_dict({"json_schema": ""}).grammar is None


def test_an_object_made_directly_is_checked_and_stays():
    params = sampling_params_from_dict({"json_schema": {"type": "string"}})
    assert validate_sampling_params(params) == params
    with pytest.raises(RequestError, match="must be valid JSON"):
        validate_sampling_params(SamplingParams(json_schema="{"))
