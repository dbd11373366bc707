"""What a skill yields: one prompt with its one right answer, and how it is split and varied."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass

HELD_OUT_PERCENT = 8
"""Share of the instances that are never trained on and measure the model instead."""


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt and the answer that greedy decoding shall give.

    `key` names the instance for the split: all examples with one key fall on the same side, so that
    a sum of two numbers is unseen in every wording. An empty key is always trained on.
    `is_chat` is False for text to be continued without a chat template.
    """

    prompt: str
    answer: str
    key: str
    is_chat: bool = True


@dataclass(frozen=True, slots=True)
class Skill:
    """A named source of examples; `weight` is its share of the corpus, relative to the others."""

    name: str
    weight: float
    draw: Callable[[random.Random], Example]


def is_held_out(key: str) -> bool:
    """Whether the instance `key` measures instead of teaching: the same on every machine."""
    if not key:
        return False
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100 < HELD_OUT_PERCENT


def vary(rng: random.Random, question: str) -> str:
    """The question as people type it: sometimes in lower case, sometimes without its last mark."""
    style = rng.random()
    if style < 0.6:
        return question
    if style < 0.75:
        return question.lower()
    bare = question.rstrip("?.!")
    return bare if style < 0.9 else bare.lower()


def draw_phrase(rng: random.Random, intents: list[tuple[str, list[str]]]) -> Example:
    """One wording of one intent of a table of (answer, wordings), varied; split by what is asked.

    The first wording of each intent, unvaried, is the plain way to ask: it is always trained on.
    """
    answer, wordings = rng.choice(intents)
    wording = rng.choice(wordings)
    prompt = vary(rng, wording)
    return Example(prompt, answer, key="" if prompt == wordings[0] else prompt)
