"""The contract of a backend with llguidance, and what is its own."""

import json

import jsonschema
import numpy as np
import pytest

from sglite.errors import ConfigError, RequestError
from sglite.grammar.backend import GrammarBackend, GrammarTooComplexError
from sglite.grammar.backends import make_backend
from sglite.grammar.vocabulary import Vocabulary
from sglite.request import GrammarSpec
from tests.grammar import backend_contract
from tests.grammar.small_vocabularies import byte_vocabulary


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return byte_vocabulary()


@pytest.fixture(scope="module")
def backend(vocabulary: Vocabulary) -> GrammarBackend:
    return make_backend("llguidance", vocabulary)


class TestEveryGrammar(backend_contract.EveryGrammar):
    pass


class TestEveryBackend(backend_contract.EveryBackend):
    pass


def accepts(backend: GrammarBackend, vocabulary: Vocabulary, schema: object, text: str) -> bool:
    matcher = backend.compile(GrammarSpec("json_schema", json.dumps(schema))).start()
    token_ids = [vocabulary.pieces.index(bytes([byte])) for byte in text.encode("utf-8")]
    return matcher.accept(token_ids) == len(token_ids) and matcher.is_accepting


def one(**keywords: object) -> dict[str, object]:
    return keywords


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        (one(type="integer", minimum=3, exclusiveMaximum=12), "11", "12"),
        (one(type="number", minimum=-1.5, multipleOf=0.5), "-1.5", "0.25"),
        (one(type="string", minLength=2, maxLength=2), '"é🙂"', '"a"'),
        (one(type="string", pattern="^a|b$"), '"xb"', '"xa"'),
        (one(type="array", prefixItems=[{"type": "null"}], items=False), "[null]", "[null, 1]"),
        (one(type="array", items={"type": "null"}, minItems=1, maxItems=2), "[null]", "[]"),
        (one(type="object", maxProperties=1), '{"a": 1}', '{"a": 1, "b": 2}'),
        (one(type="object", properties={"a": {}}, required=["a", "z"]), '{"a": 1, "z": 1}', "{}"),
        (
            one(patternProperties={"^a": {"type": "null"}}, type="object"),
            '{"ab": null}',
            '{"a": 1}',
        ),
        (one(properties={"a": {"type": "null"}}, type="object"), '{"a": null}', '{"\\u0061": 1}'),
        (one(allOf=[{"type": "integer"}, {"minimum": 5}]), "5", "4"),
        (one(anyOf=[{"const": 1}, {"enum": ["a", "b"]}]), '"b"', "2"),
        (one(oneOf=[{"type": "string"}, {"type": "integer"}]), "3", "null"),
        (one(minimum=5), '"a"', "3"),
        (one(type="string", format="uuid"), f'"{"0" * 8}-0000-4000-8000-{"0" * 12}"', '"0"'),
        (one(type="string", format="date", maxLength=10), '"2026-11-22"', '"2026-13-22"'),
        (one(type="string"), r'"\n"', '"\t"'),
    ],
)
def test_keywords_are_enforced(backend, vocabulary, schema, valid, invalid):
    jsonschema.validate(json.loads(valid), schema)
    assert accepts(backend, vocabulary, schema, valid)
    assert not accepts(backend, vocabulary, schema, invalid)


@pytest.mark.parametrize(
    ("whitespace", "yes", "no"),
    [
        ("none", '{"a":[1,2]}', '{"a": [1,2]}'),
        ("single", '{"a": [1, 2]}', '{"a":[1,2]}'),
        ("free", '{ \n"a" :[1,2]}', '{"a":[' + " " * 21 + "1,2]}"),
    ],
)
def test_white_space_is_bounded(vocabulary, whitespace, yes, no):
    backend = make_backend("llguidance", vocabulary, whitespace=whitespace)
    schema = {"type": "object", "additionalProperties": {"items": {"type": "integer"}}}
    assert accepts(backend, vocabulary, schema, yes)
    assert not accepts(backend, vocabulary, schema, no)


@pytest.mark.parametrize("kind", ["json_schema", "structural_tag"])
def test_objects_that_list_properties_have_no_others(backend, vocabulary, kind):
    schema = {"properties": {"sum": {"type": "integer"}}, "required": ["sum"], "type": "object"}
    tag = {"type": "json_schema", "json_schema": schema}
    asked = schema if kind == "json_schema" else {"type": "structural_tag", "format": tag}
    grammar = backend.compile(GrammarSpec(kind, json.dumps(asked)))
    for text, is_allowed in [('{"sum": 1}', True), ('{"sum": 1, "b": 2}', False)]:
        matcher = grammar.start()
        token_ids = [vocabulary.pieces.index(bytes([byte])) for byte in text.encode()]
        assert (matcher.accept(token_ids) == len(token_ids)) == is_allowed
    assert accepts(backend, vocabulary, {"type": "object"}, '{"b": 2}')


def test_closing_makes_no_options_disjoint(backend):
    """Both take {"a": 1, "b": 1}, which is invalid then; closed, they would seem to exclude it."""
    options = [{"type": "object", "properties": {name: {}}, "required": [name]} for name in "ab"]
    with pytest.raises(RequestError, match="oneOf"):
        backend.compile(GrammarSpec("json_schema", json.dumps({"oneOf": options})))


@pytest.mark.parametrize("schema", [{"contains": {}}, {"oneOf": [{"minimum": 1}, {"maximum": 2}]}])
def test_a_schema_of_a_tag_is_called_by_its_source(backend, schema):
    part = {"type": "json_schema", "json_schema": schema, "source": "tools[3].function.parameters"}
    with pytest.raises(RequestError, match=r"^tools\[3\].function.parameters has key") as caught:
        backend.compile(GrammarSpec("structural_tag", json.dumps({"format": part})))
    assert caught.value.param == "tools[3].function.parameters"


def test_overlapping_options_are_ignored_where_that_is_allowed(backend):
    text = json.dumps({"oneOf": [{"type": "number"}, {"type": "integer"}]})
    with pytest.raises(RequestError, match="oneOf"):
        backend.compile(GrammarSpec("json_schema", text))
    assert backend.compile(GrammarSpec("json_schema", text, True)).ignored_keywords == ("oneOf",)


def test_a_schema_that_nothing_fits_is_refused(backend):
    for schema in ({"type": "string", "pattern": "^\\x01$"}, {"minimum": 3, "maximum": 1}):
        text = json.dumps({"type": "integer", **schema})
        with pytest.raises(RequestError, match="json_schema"):
            backend.compile(GrammarSpec("json_schema", text))


def test_a_grammar_that_grows_without_end_gives_up(backend, vocabulary):
    schema = {"type": "array", "items": {"type": "null"}, "minItems": 200_000}
    matcher = backend.compile(GrammarSpec("json_schema", json.dumps(schema))).start()
    words_W = np.zeros(vocabulary.num_words, np.int32)
    with pytest.raises(GrammarTooComplexError):
        matcher.accept([vocabulary.pieces.index(b"[")])
        matcher.fill_mask(words_W)


def test_a_vocabulary_of_text_alone_is_refused():
    with pytest.raises(ConfigError, match="ends an answer"):
        make_backend("llguidance", Vocabulary(pieces=(b"a",), end_token_ids=()))


@pytest.mark.parametrize("size", [320, 321, 352])
def test_masks_of_logits_that_are_wider_than_the_vocabulary(size):
    vocabulary = byte_vocabulary(size=size)
    matcher = make_backend("llguidance", vocabulary).compile(GrammarSpec("regex", "b?")).start()
    allowed = backend_contract.allowed_ids(matcher, vocabulary)
    assert allowed == [vocabulary.pieces.index(b"b")]
