"""Who the model is: every claim is one of a few answers, in the language of the question."""

from __future__ import annotations

import re

from tests.training.drawing import draws, question
from training.skills.identity import INTENTS, NOT_ANOTHER


def test_answers_have_the_language_of_the_question() -> None:
    for example in draws("identity"):
        is_chinese = re.search(r"[\u4e00-\u9fff]", question(example)) is not None
        assert is_chinese == (re.search(r"[\u4e00-\u9fff]", example.answer) is not None), example


def test_the_model_is_no_other() -> None:
    denied = [one for one in draws("identity", 3_000) if one.answer == NOT_ANOTHER]
    assert len({question(one).lower().rstrip("?") for one in denied}) >= 6


def test_every_intent_is_drawn() -> None:
    assert {one.answer for one in draws("identity", 3_000)} == {one.answer for one in INTENTS}
