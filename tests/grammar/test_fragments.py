"""What patterns look for, and that the search for an end finds its way with it."""

from __future__ import annotations

import json
import re

import pytest

from sglite.grammar.fragments import MAX_FRAGMENTS, find_fragments, shortest_text
from sglite.grammar.regex_parser import parse_regex
from sglite.request import GrammarSpec
from tests.grammar.small_grammars import finder, start


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"\d{2}", "00"),
        ("foo.*bar", "foobar"),
        ("long|a+", "a"),
        ("[^a]", "0"),
        (r"(\d{3}-){2}x?", "000-000-"),
        ("[\x01-\x05]é", "\x01é"),
        ("", ""),
    ],
)
def test_a_shortest_text_fits(pattern: str, text: str) -> None:
    assert shortest_text(parse_regex(pattern)) == text
    assert re.fullmatch(pattern, text)


def test_fragments_are_written_as_the_answer_has_them() -> None:
    schema = {"properties": {"a": {"pattern": '^"\\\\'}}, "patternProperties": {"k_": {}}}
    assert set(find_fragments(GrammarSpec("json_schema", json.dumps(schema)))) == {
        b'\\"\\\\',
        b"k_",
    }
    assert find_fragments(GrammarSpec("regex", '"x')) == [b'"x']
    assert find_fragments(GrammarSpec("ebnf", 'root ::= "x"')) == []


def test_patterns_that_are_none_and_names_of_properties_are_no_matter() -> None:
    schema = {"properties": {"pattern": {"pattern": "("}}, "enum": [{"pattern": 3}]}
    assert find_fragments(GrammarSpec("json_schema", json.dumps(schema))) == []


def test_there_are_not_too_many() -> None:
    schema = {"anyOf": [{"pattern": f"p{i}"} for i in range(2 * MAX_FRAGMENTS)]}
    assert len(find_fragments(GrammarSpec("json_schema", json.dumps(schema)))) == MAX_FRAGMENTS


PATTERNS = ["qz", r"\d{3}-x", "@mail\\.org$", "^[A-Z]{2}9"]
SCHEMA = {
    "type": "object",
    "properties": {p: {"type": "string", "pattern": p} for p in PATTERNS} | {"b": {}},
    "required": [*PATTERNS, "b"],
    "additionalProperties": False,
}


def test_an_end_is_found_behind_what_patterns_search_for() -> None:
    schema = json.dumps(SCHEMA)
    assert found(schema, []) is None, "the test is too easy"
    token_ids = found(schema, find_fragments(GrammarSpec("json_schema", schema)))
    assert token_ids is not None and start("json", schema).ends_after(token_ids)
    answer = json.loads(finder().text(token_ids))
    assert all(re.search(pattern, answer[pattern]) for pattern in PATTERNS)


def found(schema: str, fragments: list[bytes]) -> list[int] | None:
    matcher = start("json", schema)
    return finder().find(matcher, max_tokens=200, fragments=fragments, effort=1024)
