"""A part says where its schema came from only where that is known."""

from __future__ import annotations

from sglite.parsing.structural import json_value


def test_a_source_stands_beside_its_schema() -> None:
    plain = {"type": "json_schema", "json_schema": {"type": "null"}}
    assert json_value({"type": "null"}) == plain
    assert json_value({"type": "null"}, "tools[0]") == plain | {"source": "tools[0]"}
