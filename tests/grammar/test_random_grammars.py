"""Random grammars have texts, and the recogniser tells them from others."""

from __future__ import annotations

import re

import pytest

from tests.grammar.random_grammars import (
    CharClass,
    Choice,
    Expression,
    Literal,
    RandomGrammar,
    Recogniser,
    Repeat,
    Rule,
    Sequence_,
    random_grammar,
    render,
)

DIGIT = CharClass((("0", "9"),), False)
A = Literal("a")


def fits(expression: Expression, text: str, **rules: Expression) -> bool:
    return RandomGrammar(0, {"root": expression, **rules}, "").accepts(text)


def test_witnesses_are_texts_of_their_grammars():
    for seed in range(200):
        grammar = random_grammar(seed)
        assert grammar.accepts(grammar.witness), grammar.text


def test_most_grammars_refuse_a_witness_with_more_behind_it():
    grammars = [random_grammar(seed) for seed in range(100)]
    refused = [not grammar.accepts(grammar.witness + "\x07") for grammar in grammars]
    assert sum(refused) > 90


def test_some_grammars_are_recursive():
    texts = [random_grammar(seed).text for seed in range(100)]
    assert sum('"(" root' in text or '"[" root' in text for text in texts) > 3


@pytest.mark.parametrize(
    "expression, pattern",
    [
        (Literal("ab"), "ab"),
        (DIGIT, "[0-9]"),
        (CharClass((("a", "c"),), True), "[^a-c]"),
        (Sequence_((A, DIGIT)), "a[0-9]"),
        (Choice((A, Literal("ab"))), "a|ab"),
        (Repeat(A, 0, None), "a*"),
        (Repeat(Choice((A, Literal(""))), 2, 3), "(a|){2,3}"),
        (Repeat(Repeat(A, 0, 1), 1, None), "(a?)+"),
        (Sequence_((Repeat(A, 0, None), A, Repeat(Literal("b"), 2, 2))), "a*ab{2}"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_recogniser_agrees_with_re(expression, pattern):
    for text in ("", "a", "aa", "aaa", "aaaa", "ab", "aab", "abb", "aabb", "a1", "7", "x"):
        assert fits(expression, text) == bool(re.fullmatch(pattern, text)), text


def test_recogniser_follows_recursion():
    nested = Choice((A, Sequence_((Literal("("), Rule("root"), Literal(")")))))
    assert fits(nested, "((a))") and not fits(nested, "((a)") and not fits(nested, "()")


def test_recogniser_remembers():
    """A grammar that is tried in 2**40 ways takes a few hundred steps."""
    either = Choice((A, A))
    recogniser = Recogniser({}, "a" * 40)
    assert recogniser.ends(Repeat(either, 40, 40), 0) == frozenset([40])
    assert len(recogniser.known) < 500


def test_a_grammar_is_written_as_it_is_asked_for():
    rule = Choice((Sequence_((Literal('a"\n'), Repeat(DIGIT, 2, None))), Rule("item")))
    assert render(rule) == '"a\\"\\n" ([0-9]{2,}) | item'
