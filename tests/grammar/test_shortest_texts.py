"""Shortest texts: they belong to their expression, and none that does is shorter."""

from __future__ import annotations

import re

import pytest

from sglite.grammar.ebnf_parser import ROOT, parse_ebnf
from sglite.grammar.expressions import Chars, Ref
from sglite.grammar.regex_parser import parse_regex
from sglite.grammar.shortest_texts import MAX_CHARS, shortest_text
from tests.grammar.random_grammars import random_grammar
from tests.grammar.random_regexes import random_regex


@pytest.mark.parametrize(
    "pattern, length",
    [
        ("", 0),
        ("abc|de|fgh", 2),
        ("a*b?c{3}", 3),
        (r"(.{3,23}\||x \-{0,1}){2,4}", 4),
        ("(a{20}|(b|cd){9}){2}", 18),
        ("[^\x00-\x7f]日", 2),
    ],
)
def test_length_of_the_shortest_text(pattern: str, length: int) -> None:
    text = shortest_text(parse_regex(pattern))
    assert text is not None
    assert re.fullmatch(pattern, text)
    assert len(text) == length


def test_texts_of_random_regexes_match() -> None:
    for seed in range(100):
        pattern = random_regex(seed).pattern
        text = shortest_text(parse_regex(pattern))
        assert text is not None and re.fullmatch(pattern, text), pattern


def test_texts_of_random_grammars_belong_to_them_and_are_no_longer_than_others() -> None:
    for seed in range(60):
        grammar = random_grammar(seed)
        text = shortest_text(Ref(ROOT), parse_ebnf(grammar.text))
        assert text is not None and grammar.accepts(text), grammar.text
        assert len(text) <= len(grammar.witness)


@pytest.mark.parametrize(
    "rules, expected",
    [
        ('root ::= a | "x"\na ::= root', "x"),
        ('root ::= "(" root ")" | b b\nb ::= "yy" | root "y"', "yyyy"),
        ('root ::= b | "zzz"\nb ::= "a" b "a" | c{2}\nc ::= "q" | b', "qq"),
    ],
)
def test_rules_that_refer_to_each_other_in_circles(rules: str, expected: str) -> None:
    assert shortest_text(Ref(ROOT), parse_ebnf(rules)) == expected


def test_rules_that_double_each_other_are_no_work() -> None:
    rules = "\n".join(f"r{i} ::= r{i + 1} r{i + 1}" for i in range(200))
    assert shortest_text(Ref("r0"), parse_ebnf(f'root ::= r0\n{rules}\nr200 ::= "b"')) is None


def test_nothing_where_no_text_is_short_enough() -> None:
    assert shortest_text(parse_regex("a{9999}")) == "a" * 9999
    assert shortest_text(parse_regex("a{9999}b{9999}")) is None
    assert 9999 < MAX_CHARS < 2 * 9999
    assert shortest_text(Chars(())) is None
