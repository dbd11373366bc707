"""Letters: every answer is worked out again, and is spelled where single letters matter."""

from __future__ import annotations

import re

from tests.training.drawing import draws, question
from tests.training.skills.oracles import letters
from training.skills.words import KNOWN_WORDS


def word_of(text: str) -> str:
    """The word that an answer spells or writes."""
    spelled = re.match(r"\w(?:\(\d\))?(?:-\w(?:\(\d\))?)+", text)
    return (re.sub(r"-|\(\d\)", "", spelled[0]) if spelled else text).lower()


def letter_of(text: str) -> str:
    """The letter that a question asks to count."""
    found = re.search(r"""letters? "(\w)"|"(\w)" (?:occur|appear|in)|\b(\w)'s\b""", text.lower())
    return next((group for group in found.groups() if group), "") if found else ""


def test_every_answer_is_right() -> None:
    for example in draws("strings", 3_000):
        asked, word = question(example), word_of(example.answer)
        assert re.search(rf"\b{word}\b", asked.lower()), example
        assert example.answer == letters(asked, word, letter_of(asked)), example


def test_what_is_copied_keeps_its_case() -> None:
    for example in draws("strings", 3_000):
        word = word_of(example.answer)
        if not re.search("lower|small", question(example).lower()):
            assert word in question(example), example


def test_words_that_are_not_copied_are_spelled() -> None:
    for example in draws("strings"):
        assert example.spelled, example
        rest = example.answer
        for word in example.spelled:
            rest = rest.replace(word, "", 1)
        assert not re.search(r"\w-\w|[A-Z]{2}", rest), example


def test_made_up_words_are_always_trained_on() -> None:
    examples = draws("strings", 3_000)
    assert all(bool(one.key) == (word_of(one.answer) in KNOWN_WORDS) for one in examples)
    assert 0.2 < sum(not one.key for one in examples) / len(examples) < 0.5
