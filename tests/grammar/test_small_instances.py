"""Small values of schemas: the judge is the validator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sglite.grammar.small_instances import NOTHING, small_instance
from tests.grammar.checks import schema_problem
from tests.grammar.random_schemas import random_schema

NODE = {
    "type": "object",
    "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
    "required": ["next"],
}


@pytest.mark.parametrize(
    "schema, expected",
    [
        (True, 0),
        ({"type": "object", "required": ["b", "a"], "properties": {"a": {}}}, {"a": 0, "b": 0}),
        ({"type": "array", "minItems": 2, "items": {"type": "string"}}, ["", ""]),
        ({"type": "array", "minItems": 2, "prefixItems": [{"const": "x"}]}, ["x", 0]),
        ({"type": "string", "pattern": r"\.json$"}, ".json"),
        ({"type": "string", "minLength": 2}, "aa"),
        ({"type": "integer", "exclusiveMinimum": 7}, 8),
        ({"type": "integer", "maximum": -5, "multipleOf": 3}, -6),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, 0.25),
        ({"anyOf": [{"const": "long"}, {"enum": ["ab", "a"]}]}, "a"),
        ({"allOf": [{"type": "integer", "minimum": 5}, {"minimum": 3, "maximum": 9}]}, 5),
        ({"type": "object", "minProperties": 1}, {"a": 0}),
        ({"$ref": "#/$defs/node", "$defs": {"node": NODE}}, {"next": None}),
        ({"type": ["null", "string"], "enum": [7, "x", None]}, "x"),
    ],
    ids=str,
)
def test_smallest_value(schema: Any, expected: Any) -> None:
    assert small_instance(schema) == expected
    assert schema_problem(schema, json.dumps(expected)) is None


def test_nearly_all_random_schemas_accept_their_small_value() -> None:
    drawn = [random_schema(seed) for seed in range(150)]
    satisfiable = [schema.schema for schema in drawn if schema.is_satisfiable]
    values = [small_instance(schema) for schema in satisfiable]
    fitting = [
        value is not NOTHING and schema_problem(schema, json.dumps(value)) is None
        for schema, value in zip(satisfiable, values, strict=True)
    ]
    assert sum(fitting) >= 0.95 * len(fitting)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"$ref": "#"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "minItems": 10**9},
        {"type": "array", "minItems": 999, "items": {"type": "array", "minItems": 999}},
        {"type": "integer", "minimum": 1, "maximum": 0},
    ],
    ids=str,
)
def test_no_value_where_there_is_none_or_only_a_huge_one(schema: Any) -> None:
    assert small_instance(schema) is NOTHING


def test_options_of_options_without_end_are_no_work() -> None:
    loop = {"minLength": 2, "anyOf": [{"$ref": "#/$defs/A"}] * 20}
    assert small_instance({"$ref": "#/$defs/A", "$defs": {"A": loop}}) is NOTHING
