"""Grammars in Lark: what a random walk over them produces is what was asked for."""

import json
import re

import pytest

from sglite.errors import RequestError
from sglite.grammar.backend import GrammarBackend
from sglite.grammar.backends import make_backend
from sglite.grammar.ebnf_parser import parse_ebnf
from sglite.grammar.lark import lark_of_ebnf, lark_of_tags
from sglite.grammar.structural_tag import parse_structural_tag
from sglite.request import GrammarSpec
from tests.grammar.backend_contract import finished_texts
from tests.grammar.small_vocabularies import byte_vocabulary

VOCABULARY = byte_vocabulary()


@pytest.fixture(scope="module")
def backend() -> GrammarBackend:
    return make_backend("llguidance", VOCABULARY)


def accepts(backend: GrammarBackend, spec: GrammarSpec, text: str) -> bool:
    matcher = backend.compile(spec).start()
    token_ids = [VOCABULARY.pieces.index(bytes([byte])) for byte in text.encode("utf-8")]
    return matcher.accept(token_ids) == len(token_ids) and matcher.is_accepting


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ('root ::= [a-z]+ "b"', ["ab", "abb"], ["b", "a"]),
        ('root ::= word "b" "(" root ")" | "."\nword ::= [a-z]*', ["abb(.)", "b(.)"], ["a(.)"]),
        ('root ::= "x" root [a-z]* | "." [a-z]+', ["x.ab", "xx.a", "x.a"], ["x.", "xa"]),
        ('root ::= "a" root "a" | "a"', ["a", "aaa", "aaaaa"], ["aa", ""]),
        (
            'root ::= "ab" root | "a" "bc"* | [b]',
            ["ab" * 2 + "a", "aba", "abcbc", "abb"],
            ["c", "abab"],
        ),
        ('root ::= list\nlist ::= "[" (list ("," list)*)? "]"', ["[[],[[]]]", "[]"], ["[,]", "["]),
        ('root ::= ws "x" root? \nws ::= " " ws | ""', ["x", "  x x", "xx"], [" ", "x "]),
        ('root ::= "日" root "é"? | "本"', ["日本é", "日日本", "本"], ["日", "é"]),
    ],
)
def test_ebnf_is_over_characters(backend, text, yes, no):
    for answer in yes:
        assert accepts(backend, GrammarSpec("ebnf", text), answer), answer
    for answer in no:
        assert not accepts(backend, GrammarSpec("ebnf", text), answer), answer


def test_loops_by_right_recursion_are_regular():
    rules = parse_ebnf('root ::= "a" root | "b" root | "."')
    assert lark_of_ebnf(rules).count("/") == 2


def tag(begin: str = "<f=a>", content: object = None, end: str = "</f>") -> dict:
    content = content or {"type": "json_schema", "json_schema": {"type": "integer"}}
    return {"type": "tag", "begin": begin, "content": content, "end": end}


ANY = {"type": "any_text"}
TWO = [tag(), tag("<f=b>", {"type": "regex", "pattern": "[a-z]+"})]


def triggered(**options: bool) -> dict:
    return {"type": "triggered_tags", "triggers": ["<f="], "tags": TWO, **options}


def separated(**options: bool) -> dict:
    return {"type": "tags_with_separator", "separator": ",", "tags": TWO, **options}


@pytest.mark.parametrize(
    ("form", "yes", "no"),
    [
        (tag(), ["<f=a>12</f>"], ["<f=a>x</f>", "<f=a>1"]),
        (tag(content=ANY), ["<f=a>x<</f>"], ["<f=a></f></f>", "<f=a>"]),
        (TWO[1], ["<f=b>abf</f>"], ["<f=b></f>"]),
        (triggered(), ["", "x <f", "x<f=a>1</f>y<f=b>z</f>"], ["<f=", "<f=a>", "<f=c>"]),
        (triggered(at_least_one=True), ["<f=a>1</f>", "<f=b>z</f>x"], ["", "x<f=a>1</f>"]),
        (triggered(stop_after_first=True), ["x", "x<f=a>1</f>"], ["<f=a>1</f>x"]),
        (
            triggered(at_least_one=True, stop_after_first=True),
            ["<f=a>1</f>"],
            ["", "<f=a>1</f>x", "x<f=a>1</f>"],
        ),
        (separated(), ["", "<f=a>1</f>,<f=b>z</f>"], [",", "<f=a>1</f>,", "x"]),
        (separated(at_least_one=True), ["<f=a>1</f>"], [""]),
        (separated(stop_after_first=True), ["", "<f=b>z</f>"], ["<f=a>1</f>,<f=b>z</f>"]),
        (
            {"type": "sequence", "elements": [{"type": "const_string", "value": "hi"}, TWO[0]]},
            ["hi<f=a>1</f>"],
            ["hi"],
        ),
        (
            {"type": "or", "elements": [{"type": "const_string", "value": "n"}, TWO[0]]},
            ["n", "<f=a>1</f>"],
            ["nn"],
        ),
    ],
)
def test_structural_tags(backend, form, yes, no):
    spec = GrammarSpec("structural_tag", json.dumps({"type": "structural_tag", "format": form}))
    for answer in yes:
        assert accepts(backend, spec, answer), answer
    for answer in no:
        assert not accepts(backend, spec, answer), answer


def test_what_a_tag_produces_has_its_form(backend):
    form = {"type": "structural_tag", "format": triggered(at_least_one=True)}
    texts = finished_texts(backend, VOCABULARY, GrammarSpec("structural_tag", json.dumps(form)))
    assert texts
    assert all(re.match(r"<f=a>-?\d+</f>|<f=b>[a-z]+</f>", text) for text in texts)


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ([ANY, TWO[0]["content"]], "any_text"),
        ([{"type": "regex", "pattern": "[0-9]+"}, TWO[0]["content"]], "go on"),
        ([triggered(), {"type": "const_string", "value": "x"}], "any text"),
    ],
)
def test_what_a_greedy_lexer_cannot_cut_is_refused(elements, message):
    form = parse_structural_tag({"format": {"type": "sequence", "elements": elements}})
    with pytest.raises(RequestError, match=message):
        lark_of_tags(form)
