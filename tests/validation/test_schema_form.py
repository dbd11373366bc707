"""Broken schemas are seen by their form; all that is a schema passes."""

from __future__ import annotations

from typing import Any

import pytest

from sglite.errors import RequestError
from sglite.validation.schema_form import check_schema_form

GOOD: list[dict[str, Any]] = [
    {},
    {"type": ["string", "null"], "properties": {"type": {"type": "integer"}}},
    {"properties": {"a": True, "properties": {"enum": [{"type": "text"}]}}, "required": ["a"]},
    {"items": [{"type": "null"}], "anyOf": [{}], "additionalProperties": False, "x": 5},
    {"$defs": {"a": {"$ref": "#/$defs/a"}}, "const": {"type": 7}, "default": {"properties": 1}},
]
BAD = [
    ({"type": "text"}, "f.type must be one of array, "),
    ({"type": None}, "f.type must be"),
    ({"type": []}, "f.type must be"),
    ({"type": ["string", 5]}, "got 5"),
    ({"type": [["string"]]}, "got a list"),
    ({"properties": []}, "f.properties must be an object of schemas, got a list"),
    ({"properties": {"a": "string"}}, "f.properties.a must be a schema, got 'string'"),
    ({"properties": {"a": {"items": {"type": "str"}}}}, "f.properties.a.items.type must be"),
    ({"anyOf": {}}, "f.anyOf must be a list of schemas"),
    ({"oneOf": [{}, 7]}, r"f.oneOf\[1\] must be a schema, got 7"),
    ({"$defs": {"a": None}}, "f.\\$defs.a must be a schema"),
]


@pytest.mark.parametrize("schema", GOOD, ids=str)
def test_schemas_pass(schema: dict[str, Any]) -> None:
    check_schema_form("f", schema)


@pytest.mark.parametrize(("schema", "message"), BAD, ids=str)
def test_what_is_none_is_named_with_its_place(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        check_schema_form("f", schema)
    assert caught.value.param == "f"


def test_depth_costs_no_stack() -> None:
    schema: dict[str, Any] = {"type": "text"}
    for _ in range(20_000):
        schema = {"items": schema}
    with pytest.raises(RequestError, match="must be one of"):
        check_schema_form("f", schema)
