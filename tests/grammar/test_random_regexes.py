"""Random regular expressions compile, match their witnesses, and have everything in them."""

from __future__ import annotations

import re

import pytest

from tests.grammar.checks import regex_problem
from tests.grammar.random_regexes import CLASSES, LITERALS, random_regex

DRAWN = [random_regex(seed) for seed in range(500)]


def test_the_same_seed_gives_the_same_pattern():
    assert random_regex(3) == random_regex(3)
    assert len({drawn.pattern for drawn in DRAWN}) > 480


def test_witnesses_match_as_a_whole():
    for drawn in DRAWN:
        assert re.fullmatch(drawn.pattern, drawn.witness), drawn


@pytest.mark.parametrize("pattern, witness", [*CLASSES, *LITERALS])
def test_an_atom_matches_its_witness(pattern, witness):
    assert re.fullmatch(pattern, witness)


def test_all_constructs_come_up():
    text = "\n".join(drawn.pattern for drawn in DRAWN)
    for part in ("(?:", "(?P<", "|", "*?", "{2,", "\\W", "[^", "größe", "\\u00e9", "^", "$"):
        assert part in text


def test_a_wrong_text_is_noticed():
    assert regex_problem("[a-z]+", "abc") is None
    assert regex_problem("[a-z]+", "abc1") is not None
