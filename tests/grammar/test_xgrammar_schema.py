"""What xgrammar is told, and what is refused because it would leave it out silently."""

import pytest

from sglite.errors import RequestError
from sglite.grammar.expressions import literal
from sglite.grammar.schema_keywords import prepare_schema
from sglite.grammar.xgrammar_schema import ENFORCED, write_pattern


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        ({"minimum": 3}, "minimum"),
        ({"enum": ["a"], "minLength": 3}, "minLength"),
        ({"enum": ["a", 1], "type": "string"}, "type"),
        ({"$ref": "#/$defs/a", "type": "null", "$defs": {"a": True}}, "type"),
        ({"allOf": [{}, {}]}, "allOf"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "oneOf"),
        ({"type": "number", "multipleOf": 2}, "multipleOf"),
        ({"type": "integer", "multipleOf": 2, "minimum": 3}, "multipleOf"),
        ({"type": "string", "pattern": "a", "minLength": 2}, "minLength"),
        ({"type": "object", "required": ["a"]}, "required"),
        (
            {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "null"}},
            "additionalProperties",
        ),
        ({"type": "object", "patternProperties": {"a": True}}, "patternProperties"),
        ({"type": "object", "minProperties": 2}, "minProperties"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
    ],
)
def test_what_it_leaves_out_is_refused_by_name(schema, names):
    with pytest.raises(RequestError, match=f"enforced: {names}\\."):
        prepare_schema(schema, ENFORCED, ignores_keywords=False)


def test_strings_of_a_length_have_no_control_characters():
    prepared = prepare_schema({"type": "string", "minLength": 2}, ENFORCED, ignores_keywords=False)
    assert "minLength" not in prepared.schema
    assert r"[ -\u{D7FF}\u{E000}-\u{10FFFF}]){2,}" in prepared.schema["pattern"]


def test_objects_have_the_properties_that_they_list():
    schema = {"type": "object", "properties": {"a": {"const": 1, "type": "integer"}}}
    prepared = prepare_schema(schema, ENFORCED, ignores_keywords=False)
    assert prepared.schema["additionalProperties"] is False


def test_code_points_in_its_syntax():
    assert write_pattern(literal("a.")) == r"a\u{2E}"
