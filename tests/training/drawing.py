"""Examples for the tests: drawn once per skill, with the same random numbers in every run."""

from __future__ import annotations

import random
from functools import cache

from training.chat_format import Document
from training.examples import Example
from training.make_corpus import document_of
from training.skills import SKILLS

CHAT_TURN = "<|im_start|>assistant\n"


@cache
def draws(name: str, count: int = 1_500) -> tuple[Example, ...]:
    """The first examples of a skill, held out or not."""
    rng = random.Random(f"test:{name}")
    return tuple(SKILLS[name].draw(rng) for _ in range(count))


def documents_of_every_skill(count: int = 60) -> list[Document]:
    """Documents with one answer each, `count` of every skill."""
    return [document_of(example) for name in SKILLS for example in draws(name)[:count]]


def question(example: Example) -> str:
    """What the user said last, or the text to go on with."""
    users = [each["content"] for each in example.messages if each["role"] == "user"]
    return str(users[-1]) if users else example.text
