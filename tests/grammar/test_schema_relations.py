"""Rewritten schemas accept what they accepted before, by the validator's word."""

from __future__ import annotations

import json
from itertools import permutations, product
from typing import Any

import pytest

from sglite.grammar.schema_relations import MAX_UNIQUE_CHARS, rewrite_relations
from tests.grammar.checks import schema_problem

AB = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}}
NOT_A = {"required": ["a"]}

REWRITTEN = [
    AB | {"dependentRequired": {"a": ["b"], "c": []}},
    {"dependentRequired": {"a": ["b", "c"]}},
    AB | {"allOf": [{"minProperties": 1}], "dependentRequired": {"b": ["a"]}},
    AB | {"not": NOT_A},
    AB | {"not": {"required": ["a", "c"], "title": "both"}},
    AB | {"required": ["b"], "not": {"required": ["b"]}},
    AB | {"if": NOT_A, "then": {"required": ["b"]}},
    AB
    | {"if": {"required": ["a", "b"]}, "then": {"required": ["c"]}, "else": {"minProperties": 1}},
    AB | {"maxProperties": 0},
    AB | {"required": ["b"], "maxProperties": 1, "patternProperties": {"c": {}}},
    {"type": "array", "items": {"enum": [1, "1", True]}, "uniqueItems": True},
    {"type": "array", "items": {"enum": [1, [], 2]}, "uniqueItems": True, "minItems": 2},
    {
        "type": "array",
        "items": {"type": "string", "enum": ["1", "x"]},
        "uniqueItems": True,
        "maxItems": 1,
    },
]
KEPT = [
    {"not": NOT_A},
    AB | {"not": {"required": ["a"], "minProperties": 1}},
    {"if": NOT_A, "then": {"required": ["b"]}},
    AB | {"if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}},
    AB | {"dependencies": {"a": {"required": ["b"]}}},
    AB | {"maxProperties": 1},
    {"type": "object", "required": ["z"], "maxProperties": 1},
    {"items": {"enum": [1, 2]}, "uniqueItems": True},
    {"type": "array", "items": {"enum": [{"a": 1}, {"a": 1.0}]}, "uniqueItems": True},
    {"type": "array", "items": {"enum": [*range(6)]}, "uniqueItems": True},
    {"type": "array", "items": {"enum": ["x" * MAX_UNIQUE_CHARS]}, "uniqueItems": True},
    {"type": "array", "items": {"enum": ["x", 1], "type": "string"}, "uniqueItems": True},
    {"type": "array", "items": {"enum": ["x", 1], "minimum": 2}, "uniqueItems": True},
]


def instances() -> list[Any]:
    """Values of all kinds: objects of three names, arrays of up to three constants."""
    objects = [
        {name: value for name, value in zip("abc", values, strict=True) if value is not None}
        for values in product([None, 1, "x"], repeat=3)
    ]
    constants = [1, "1", True, [], 2, "x", 1.0]
    arrays = [list(chosen) for count in range(4) for chosen in permutations(constants, count)]
    return [*objects, *arrays, [1, 1], ["x", "x"], 7, "text", None]


@pytest.mark.parametrize("schema", REWRITTEN, ids=str)
def test_the_same_values_are_accepted(schema: Any) -> None:
    before = json.dumps(schema)
    rewritten = rewrite_relations(schema)
    assert json.dumps(schema) == before
    hard = {"dependentRequired", "not", "if", "then", "else", "maxProperties", "uniqueItems"}
    assert not hard & rewritten.keys()
    for instance in instances():
        text = json.dumps(instance)
        was_valid = schema_problem(schema, text) is None
        assert (schema_problem(rewritten, text) is None) == was_valid, text


@pytest.mark.parametrize("schema", KEPT, ids=str)
def test_what_has_no_equal_stays(schema: Any) -> None:
    assert rewrite_relations(schema) == schema
