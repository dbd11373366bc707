"""Random schemas are schemas, their witnesses fit them, and every keyword comes up."""

from __future__ import annotations

import json
from collections import Counter

import jsonschema
import pytest

from tests.grammar.checks import schema_problem
from tests.grammar.random_schemas import UNSATISFIABLE, random_schema

DRAWN = [random_schema(seed) for seed in range(1000)]

COMMON = (
    "type properties required additionalProperties items minItems maxItems enum const minLength "
    "maxLength pattern format minimum maximum exclusiveMinimum exclusiveMaximum multipleOf anyOf "
    "oneOf allOf $ref title description default"
).split()
RARE = (
    "patternProperties propertyNames minProperties maxProperties prefixItems uniqueItems contains "
    "not if then dependentRequired $defs definitions additionalItems examples"
).split()


def keywords(schema, found):
    """Counts the keys of a schema and of what lies in it; names of properties are among them."""
    if isinstance(schema, dict):
        found.update(schema.keys())
        for value in schema.values():
            keywords(value, found)
    elif isinstance(schema, list):
        for value in schema:
            keywords(value, found)
    return found


def depth_of(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth_of, inner), default=0)


def test_the_same_seed_gives_the_same_schema():
    assert random_schema(7) == random_schema(7)
    assert len({json.dumps(drawn.schema) for drawn in DRAWN}) > 880


def test_schemas_are_schemas():
    for drawn in DRAWN[:50]:
        cls = jsonschema.validators.validator_for(drawn.schema, jsonschema.Draft202012Validator)
        cls.check_schema(drawn.schema)


def test_witnesses_fit():
    for drawn in DRAWN:
        if drawn.is_satisfiable:
            assert schema_problem(drawn.schema, json.dumps(drawn.witness)) is None, drawn.seed


def test_few_are_unsatisfiable_and_those_refuse_the_witnesses_of_others():
    num_unsatisfiable = sum(not drawn.is_satisfiable for drawn in DRAWN)
    assert 10 <= num_unsatisfiable <= 60
    witnesses = [json.dumps(drawn.witness) for drawn in DRAWN[:100]]
    for schema in UNSATISFIABLE:
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
        texts = [f'{{"a": {witness}}}' for witness in witnesses]
        assert all(schema_problem(schema, text) for text in texts), schema


def test_every_keyword_comes_up_and_the_rare_ones_rarely():
    has = Counter[str]()
    for drawn in DRAWN:
        has.update(set(keywords(drawn.schema, Counter())))
    assert all(has[word] >= 20 for word in COMMON), {word: has[word] for word in COMMON}
    assert all(1 <= has[word] <= 250 for word in RARE), {word: has[word] for word in RARE}
    assert 8 <= max(depth_of(drawn.schema) for drawn in DRAWN) <= 32


@pytest.mark.parametrize("name", ["", "größe", 'say "hi"', "back\\slash", "new\nline", "$ref"])
def test_odd_names_come_up(name):
    assert any(keywords(drawn.schema, Counter())[name] for drawn in DRAWN)
