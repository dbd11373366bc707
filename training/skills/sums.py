"""Sums of two numbers below a hundred. The answer repeats the sum in one form before the result."""

from __future__ import annotations

import random

from training.examples import Example, Skill

QUESTIONS = [
    "What is {a} + {b}?",
    "What is {a} plus {b}?",
    "What's {a} + {b}?",
    "{a} + {b}",
    "{a}+{b}",
    "{a} + {b} =",
    "{a}+{b}=?",
    "How much is {a} + {b}?",
    "How much is {a} plus {b}?",
    "Add {a} and {b}.",
    "Can you add {a} and {b}?",
    "Calculate {a} + {b}.",
    "What is the sum of {a} and {b}?",
    "Please compute {a} + {b}.",
    "What does {a} + {b} equal?",
]
STORIES = [
    "I have {a} {things} and get {b} more. How many {things} do I have?",
    "There are {a} {things} in one box and {b} {things} in another. How many {things} are there?",
]
THINGS = ["apples", "books", "coins", "stones", "cards", "pens"]
STORY_SHARE = 0.1
SMALL_SHARE = 0.2
"""Share of sums whose numbers have one or two digits each; the others have two."""


def draw_operands(rng: random.Random) -> tuple[int, int]:
    """Two numbers below a hundred, mostly of two digits."""
    if rng.random() < SMALL_SHARE:
        return rng.randint(0, rng.choice([9, 99])), rng.randint(0, rng.choice([9, 99]))
    return rng.randint(10, 99), rng.randint(10, 99)


def pair_key(a: int, b: int) -> str:
    """The instance that `a + b` and `b + a` belong to; there are too few small ones to hold out."""
    if max(a, b) < 10:
        return ""
    return f"{min(a, b)}+{max(a, b)}"


def draw(rng: random.Random) -> Example:
    """A sum in one of many wordings; unseen pairs of numbers are what measures the skill."""
    a, b = draw_operands(rng)
    if rng.random() < STORY_SHARE:
        question = rng.choice(STORIES).format(a=a, b=b, things=rng.choice(THINGS))
    else:
        question = rng.choice(QUESTIONS).format(a=a, b=b)
        if rng.random() < 0.15:
            question = question.lower()
    return Example(question, f"{a} + {b} = {a + b}.", key=pair_key(a, b))


SKILL = Skill("sums", weight=40, draw=draw)
