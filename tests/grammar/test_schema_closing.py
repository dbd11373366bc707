"""Objects that list their properties are complete, unless something else looks at them."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from sglite.grammar.schema_closing import close_objects
from tests.grammar.checks import schema_problem

A: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
B: dict[str, Any] = {"type": "object", "properties": {"b": {}}, "required": ["b"]}
CLOSED_A = A | {"additionalProperties": False}
CLOSED_B = B | {"additionalProperties": False}

CLOSED = [
    (A, CLOSED_A),
    ({"properties": {"a": {}}}, {"properties": {"a": {}}, "additionalProperties": False}),
    ({"type": "array", "items": A}, {"type": "array", "items": CLOSED_A}),
    ({"prefixItems": [A, B]}, {"prefixItems": [CLOSED_A, CLOSED_B]}),
    ({"anyOf": [A, B]}, {"anyOf": [CLOSED_A, CLOSED_B]}),
    ({"type": "object", "oneOf": [A]}, {"type": "object", "oneOf": [CLOSED_A]}),
    ({"allOf": [A]}, {"allOf": [CLOSED_A]}),
    ({"additionalProperties": A}, {"additionalProperties": CLOSED_A}),
    ({"patternProperties": {"^x$": A}}, {"patternProperties": {"^x$": CLOSED_A}}),
    ({"properties": {"x": A}}, {"properties": {"x": CLOSED_A}, "additionalProperties": False}),
    (
        {"$ref": "#/$defs/a~1b", "$defs": {"a/b": A}},
        {"$ref": "#/$defs/a~1b", "$defs": {"a/b": CLOSED_A}},
    ),
    (A | {"maxProperties": 1}, CLOSED_A | {"maxProperties": 1}),
]
OPEN = [
    True,
    {"type": "object"},
    {"type": "object", "properties": {}},
    A | {"additionalProperties": True},
    A | {"required": ["b"]},
    A | {"minProperties": 1},
    A | {"const": {"a": 1, "b": 2}},
    A | {"allOf": [B]},
    A | {"anyOf": [B, {"required": ["a"]}]},
    {"allOf": [A, B]},
    {"allOf": [{"properties": {"x": A}}, {"properties": {"x": B}}]},
    A | {"$ref": "#/$defs/b", "$defs": {"b": B}},
    {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}], "$defs": {"a": A, "b": B}},
    {"items": [{"$ref": "#/$defs/nowhere"}], "anyOf": [A, {"$ref": "#/$defs/nowhere"}]},
    {"properties": {"x": A}, "patternProperties": {"^x$": B}},
    {"patternProperties": {"^x": A, "y$": B}},
]


@pytest.mark.parametrize("schema, closed", CLOSED, ids=str)
def test_listed_properties_are_all(schema: Any, closed: Any) -> None:
    before = deepcopy(schema)
    assert close_objects(schema) == closed
    assert schema == before


@pytest.mark.parametrize("schema", OPEN, ids=str)
def test_what_says_more_stays_open(schema: Any) -> None:
    assert close_objects(schema) == schema


def test_a_schema_behind_two_references_is_as_open_as_one_of_them_needs() -> None:
    schema = {
        "properties": {"own": {"$ref": "#/$defs/a"}, "both": {"allOf": [{"$ref": "#/$defs/a"}, B]}},
        "$defs": {"a": {"properties": {"deep": deepcopy(A)}}, "other": deepcopy(A)},
    }
    closed = close_objects(schema)
    assert closed["$defs"]["a"] == schema["$defs"]["a"], "and what is within it too"
    assert closed["$defs"]["other"] == CLOSED_A
    assert closed["properties"]["own"] == {"$ref": "#/$defs/a"}
    assert closed["additionalProperties"] is False


def test_references_in_circles_and_long_chains_end() -> None:
    count = 5000
    chain = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(count)}
    schema = {"properties": {"next": {"$ref": "#"}}, "$defs": chain | {f"d{count}": A}}
    closed = close_objects(schema)
    assert closed["additionalProperties"] is False
    assert closed["$defs"][f"d{count}"] == CLOSED_A


@pytest.mark.parametrize("schema, closed", CLOSED, ids=str)
def test_what_validates_closed_validates_open(schema: Any, closed: Any) -> None:
    objects: list[Any] = [
        {},
        {"a": 1},
        {"b": 2},
        {"a": 1, "b": 2},
        {"x": {"a": 1}},
        {"x": {"b": 1}},
    ]
    for value in [*objects, [{"a": 1}], [{"b": 1}], [{"a": 1}, {"b": 1}], 7]:
        text = json.dumps(value)
        assert schema_problem(closed, text) is not None or schema_problem(schema, text) is None
