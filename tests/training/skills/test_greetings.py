"""Small talk: each language answers its own, marks vary."""

from __future__ import annotations

import random

from tests.training.drawing import draws, question
from training.skills.greetings import CHINESE, ENGLISH, vary_chinese


def test_english_is_answered_in_english_and_chinese_in_chinese() -> None:
    for example in draws("greetings"):
        assert question(example).isascii() == example.answer.isascii(), example


def test_marks_of_chinese_questions_vary() -> None:
    rng = random.Random(0)
    assert {vary_chinese(rng, "你好吗？") for _ in range(100)} == {"你好吗？", "你好吗?", "你好吗"}
    assert {vary_chinese(rng, "自我介绍一下") for _ in range(20)} == {"自我介绍一下"}


def test_plain_wordings_are_always_trained_on() -> None:
    plain = {intent.answer: intent.wordings[0] for intent in ENGLISH + CHINESE}
    for example in draws("greetings", 3_000):
        first = plain[example.answer].rstrip("?!.？！。").lower()
        assert (question(example).rstrip("?!.？！。").lower() == first) == (not example.key), (
            example
        )
