"""Candidates are allowed, distinct, and the promising ones come first."""

from __future__ import annotations

import numpy as np
import pytest

from sglite.grammar.candidates import FEW_WORDS, MAX_CANDIDATES, Candidates, is_allowed
from tests.grammar.small_grammars import GRAMMARS, allowed, new_mask, object_of, pieces, start


def texts(kind: str, text: str, written: str = "") -> list[bytes]:
    """The candidates behind some text."""
    matcher = start(kind, text)
    for byte in written.encode():
        assert matcher.accept([pieces().index(bytes([byte]))]) == 1
    words_W = new_mask()
    matcher.fill_mask(words_W)
    return [pieces()[i] for i in Candidates(pieces()).order(words_W)]


@pytest.mark.parametrize("name", GRAMMARS)
def test_candidates_are_allowed_and_distinct(name):
    matcher = start(*GRAMMARS[name])
    words_W = new_mask()
    matcher.fill_mask(words_W)
    candidates = Candidates(pieces()).order(words_W)
    assert set(candidates) <= set(allowed(words_W))
    assert 1 <= len(candidates) <= MAX_CANDIDATES
    assert len(set(candidates)) == len(candidates)


def test_an_empty_mask_has_no_candidates():
    assert Candidates(pieces()).order(new_mask()) == []


def test_few_tokens_are_all_candidates():
    words_W = new_mask()
    matcher = start("regex", "(left|right|none)")
    matcher.fill_mask(words_W)
    tokens = allowed(words_W)
    assert len(tokens) < FEW_WORDS
    assert sorted(Candidates(pieces()).order(words_W)) == tokens


def test_brackets_close_before_values_begin():
    assert texts("json", "{}", "[")[0] == b"]"
    assert texts("json", "{}", "[[1")[0].startswith(b"]")


def test_a_string_closes_with_its_quote():
    candidates = texts(*object_of(["a"], a={"type": "string"}), written='{"a":"x')
    assert candidates[0].startswith(b'"')
    assert b"]" not in candidates[:3]


def test_a_long_token_of_each_first_byte_comes_first():
    candidates = texts("regex", "[a-z]{200}")
    first = candidates[:20]
    assert len({piece[0] for piece in first}) == 20
    assert [len(piece) for piece in first] == sorted((len(p) for p in first), reverse=True)
    assert len(first[0]) >= 6


def test_bits_of_a_mask_are_read_at_both_ends_of_a_word():
    words_W = new_mask()
    words_W[1] = -(2**31) + 1
    flags = is_allowed(words_W, np.array([31, 32, 33, 63, 64]))
    assert flags.tolist() == [False, True, False, True, False]
