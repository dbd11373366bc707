"""The founding prompts: always trained on, as text and in a chat."""

from __future__ import annotations

import pytest

from tests.training.drawing import draws
from training.skills.founding import INTENTS, numbered


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("The capital of France is", " Paris."),
        ("The capital of France is", "The capital of France is Paris."),
        ("Give three tips to improve public speaking.", INTENTS[0].answer),
    ],
)
def test_a_founding_prompt_is_taught(prompt: str, answer: str) -> None:
    taught = [
        one
        for one in draws("founding")
        if prompt in (one.text, *(each["content"] for each in one.messages))
        and one.answer == answer
    ]
    assert len(taught) > 50
    assert all(example.key == "" for example in taught)


def test_tips_are_a_list_of_three() -> None:
    assert numbered(("a.", "b.", "c.")) == "1. a.\n2. b.\n3. c."
    assert all(intent.answer.count("\n") == 2 for intent in INTENTS)
