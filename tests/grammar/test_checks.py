"""The judges are strict and exact."""

from __future__ import annotations

import pytest

from tests.grammar.checks import schema_problem


@pytest.mark.parametrize("text", ["", "{", "NaN", "-Infinity", "{'a': 1}", "1 2"])
def test_what_is_no_json_is_noticed(text):
    assert "no JSON" in (schema_problem({}, text) or "")


def test_decimals_are_exact():
    """Floats would find that 1.1 is no multiple of 0.1, and that 2**53 + 1 is 2**53."""
    assert schema_problem({"multipleOf": 0.1}, "1.1") is None
    assert schema_problem({"multipleOf": 0.1}, "1.15") is not None
    assert schema_problem({"minimum": 9007199254740993}, "9007199254740992") is not None
    assert schema_problem({"exclusiveMinimum": 0.1}, "0.1") is not None


def test_numbers_beyond_all_machines_are_judged():
    assert schema_problem({"maximum": 5}, "-1e99999999999999999999") is None
    assert schema_problem({"maximum": 5}, "1e99999999999999999999") is not None
    assert schema_problem({"exclusiveMinimum": 0}, "1e-99999999999999999999") is None


def test_the_dialect_is_the_schemas_own():
    draft4 = {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 3}
    assert schema_problem(draft4 | {"exclusiveMinimum": True}, "3") is not None
    assert schema_problem({"prefixItems": [{"type": "string"}]}, "[1]") is not None
