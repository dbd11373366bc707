"""Schemas without what is not enforced."""

import pytest

from sglite.errors import RequestError
from sglite.grammar.llguidance_backend import ENFORCED
from sglite.grammar.schema_keywords import prepare_schema


def prepare(schema, *, ignores_keywords=False):
    return prepare_schema(schema, ENFORCED, ignores_keywords=ignores_keywords)


def test_annotations_are_left_out_and_properties_of_such_names_kept():
    names = {"title": {"type": "null", "title": "t"}, "not": True, "x-guidance": {}}
    prepared = prepare({"title": "t", "x-guidance": {"lenient": True}, "properties": names})
    assert prepared.schema == {"properties": {**names, "title": {"type": "null"}}}
    assert prepared.ignored == ()


def test_what_is_not_enforced_is_named_wherever_it_stands():
    schema = {
        "properties": {"a": {"contains": {}}, "b": {"anyOf": [{"format": "klingon"}]}},
        "$defs": {"c": {"type": "number", "multipleOf": 0.1}},
    }
    names = ("contains", "format: klingon", "multipleOf")
    with pytest.raises(RequestError, match="contains, format: klingon, multipleOf"):
        prepare(schema)
    prepared = prepare(schema, ignores_keywords=True)
    assert prepared.ignored == names
    assert prepared.schema["properties"] == {"a": {}, "b": {"anyOf": [{}]}}


def test_exact_factors_and_listed_properties_are_enforced():
    properties = {name: {} for name in "abcd"}
    kept = {"type": "object", "properties": properties, "additionalProperties": False}
    schema = {"multipleOf": 0.25, **kept, "minProperties": 2, "maxProperties": 3}
    assert prepare(schema).schema == schema


def test_references_are_uris_within_the_schema():
    schema = {"$ref": "#/$defs/größe", "$defs": {"größe": {"type": "null"}}}
    assert prepare(schema).schema["$ref"] == "#/$defs/gr%C3%B6%C3%9Fe"
    assert prepare({"$ref": "#/$defs/a%20b", "$defs": {"a b": True}})
    assert prepare({"items": {"$ref": "#"}})


def test_patterns_mean_what_python_means():
    assert prepare({"pattern": r"^\d$"}).schema["pattern"].count("[0-9]") == 1


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (False, "no answer is valid"),
        ([], "where a schema has to be"),
        ({"items": 3}, "where a schema has to be"),
        ({"anyOf": {}}, "as anyOf"),
        ({"required": [1]}, "as required"),
        ({"properties": []}, "as properties"),
        ({"multipleOf": "a"}, "as multipleOf"),
        ({"items": [True]}, "prefixItems"),
        ({"$ref": "http://x/y"}, "same schema"),
        ({"$ref": "#/$defs/a"}, "leads nowhere"),
        ({"$ref": "#a"}, "leads nowhere"),
        ({"pattern": "(?=a)"}, "look-ahead"),
        ({"patternProperties": {"(": {}}}, "no regular expression"),
        ({"const": {"a": [2**53 + 1]}}, "9007199254740993 in const"),
        ({"minimum": 1e300, "maximum": -(10**20)}, "in maximum"),
        ({"enum": ["a\x01"]}, "control character"),
    ],
)
def test_bad_schemas_are_refused(schema, message):
    with pytest.raises(RequestError, match=message) as caught:
        prepare(schema)
    assert caught.value.param == "json_schema"


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"properties": []}, r"has properties \[\], which has to be an object"),
        ({"minLength": "2"}, "has minLength 2, which has to be a number"),
        ({"required": [1]}, "which has to be a list of names"),
        ({"pattern": 5}, "which has to be a text"),
        ({"enum": {}}, "which has to be a list"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_the_right_one(schema, message):
    with pytest.raises(RequestError, match=message):
        prepare_schema(schema, ENFORCED, ignores_keywords=False)
