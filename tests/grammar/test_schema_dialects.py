"""Schemas of older drafts, and keywords that say nothing."""

import pytest

from sglite.grammar.schema_dialects import as_newest, is_old_draft


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"minimum": 3, "exclusiveMinimum": True}, {"exclusiveMinimum": 3}),
        ({"maximum": 3, "exclusiveMaximum": False}, {"maximum": 3}),
        ({"items": [{}], "additionalItems": False}, {"prefixItems": [{}], "items": False}),
        ({"uniqueItems": False, "propertyNames": True, "minLength": 0}, {}),
        ({"uniqueItems": True}, {"uniqueItems": True}),
        ({"minContains": 2, "if": {}, "additionalItems": False}, {}),
        ({"minProperties": 2, "required": ["a", "b"]}, {"required": ["a", "b"]}),
        (
            {"oneOf": [{"const": 1}, {"enum": [2, "1"]}]},
            {"anyOf": [{"const": 1}, {"enum": [2, "1"]}]},
        ),
        ({"oneOf": [{"const": 1}, {"const": 1.0}]}, {"oneOf": [{"const": 1}, {"const": 1.0}]}),
        (
            {"oneOf": [{"const": [1]}, {"const": [1.0]}]},
            {"oneOf": [{"const": [1]}, {"const": [1.0]}]},
        ),
        ({"uniqueItems": True, "maxItems": 1}, {"maxItems": 1}),
        ({"uniqueItems": True, "maxItems": 2}, {"uniqueItems": True, "maxItems": 2}),
        (
            {"properties": {"a": {}}, "additionalProperties": False, "maxProperties": 1},
            {"properties": {"a": {}}, "additionalProperties": False},
        ),
        (
            {"properties": {"a": {}}, "maxProperties": 1},
            {"properties": {"a": {}}, "maxProperties": 1},
        ),
        ({"oneOf": [{"type": "null"}]}, {"anyOf": [{"type": "null"}]}),
        (
            {"propertyNames": {"pattern": "^a"}},
            {"patternProperties": {"^a": True}, "additionalProperties": False},
        ),
    ],
)
def test_as_the_newest_draft_has_it(schema, expected):
    assert as_newest(schema, is_old=True) == expected


def test_drafts_are_told_by_the_root():
    assert is_old_draft({"$schema": "http://json-schema.org/draft-07/schema#"})
    assert not is_old_draft({"$schema": "https://json-schema.org/draft/2020-12/schema"})
    assert not is_old_draft(True)
