"""Limits that are checked before any library sees a grammar."""

import json

import pytest

from sglite.errors import RequestError
from sglite.grammar.limits import check_regex_size, check_size, parse_json
from sglite.grammar.regex_parser import parse_regex


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "bytes long"),
        ("[" * 33 + "]" * 33, "nested more than 32"),
        (json.dumps([0] * 5_000), "5001 values"),
        ('{"a": NaN}', "NaN is no JSON"),
        ("{", "no JSON text of a schema"),
        ('"\ud800"', "lone surrogate"),
    ],
)
def test_bad_json_is_refused(text, message):
    with pytest.raises(RequestError, match=message) as caught:
        parse_json(text, "json_schema", what="a schema")
    assert caught.value.param == "json_schema"


def test_brackets_in_strings_are_no_depth():
    text = json.dumps("[" * 50 + '\\"[')
    assert parse_json(text, "x", what="y") == "[" * 50 + '\\"['


def test_as_deep_and_as_large_as_allowed():
    parse_json("[" * 32 + "]" * 32, "x", what="y")
    parse_json(json.dumps([0] * 4_999), "x", what="y")
    check_size("é" * 10, 20, "x")
    check_regex_size("(" * 32 + ")" * 32 + r"\(" * 50, "x")


@pytest.mark.parametrize("pattern", ["(" * 30_000, "(" * 33 + ")" * 33, "a" * 4_097])
def test_long_or_deep_patterns_are_refused(pattern):
    with pytest.raises(RequestError, match="at most"):
        check_regex_size(pattern, "regex")


@pytest.mark.parametrize(
    "pattern", ["(a{1000}){1000}", "(a{33}){32}", "a{10001}", "((a{9}){9}){13}"]
)
def test_large_repeats_are_refused(pattern):
    with pytest.raises(RequestError, match="at most"):
        parse_regex(pattern)


@pytest.mark.parametrize("pattern", ["a{5000}", "(a{32}){32}", "(a{500}b*)*", "a?" * 30 + "a{30}"])
def test_large_repeats_that_are_possible(pattern):
    parse_regex(pattern)
