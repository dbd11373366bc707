"""Words: what the skills on letters rely on."""

from __future__ import annotations

import random

from training.skills.words import (
    KNOWN_WORDS,
    MAX_LETTERS,
    MIN_PSEUDO_LETTERS,
    WORDS,
    draw_pseudo_word,
    draw_word,
)


def test_words_are_short_lower_case_and_listed_once() -> None:
    assert len(WORDS) == len(set(WORDS)) > 500
    assert all(word.isascii() and word.isalpha() and word.islower() for word in WORDS)
    assert all(3 <= len(word) <= MAX_LETTERS for word in WORDS)


def test_no_word_reads_the_same_backwards() -> None:
    assert not [word for word in WORDS if word == word[::-1]]


def test_made_up_words_are_new() -> None:
    rng = random.Random(0)
    words = {draw_pseudo_word(rng) for _ in range(2_000)}
    assert len(words) > 1_800
    assert not words & KNOWN_WORDS
    assert all(MIN_PSEUDO_LETTERS <= len(word) <= MAX_LETTERS for word in words)
    assert all(word != word[::-1] for word in words)


def test_common_words_are_from_the_list() -> None:
    rng = random.Random(0)
    assert {draw_word(rng) for _ in range(200)} <= KNOWN_WORDS
