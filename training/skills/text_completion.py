"""Text to be continued, without a chat template: sentences, sums, well-known sequences."""

from __future__ import annotations

import random

from training.examples import Example, Skill
from training.skills.about_sglite import WHAT
from training.skills.countries import CAPITALS
from training.skills.sums import draw_operands, pair_key

SEQUENCES = [
    "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday.",
    "January, February, March, April, May, June, July, August, September, October, November, "
    "December.",
    "one, two, three, four, five, six, seven, eight, nine, ten.",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10.",
    "a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z.",
]
SENTENCES = [
    WHAT,
    "Hello, my name is sglite and I am a small language model.",
    "Hello, world! I am a small language model.",
    "I am the small model that comes with sglite, an LLM serving engine.",
    "A radix tree keeps the keys and values of earlier prompts, "
    "so that a shared prefix is computed once.",
    "Once upon a time there was a small model that could name capitals and add two numbers.",
]


def draw(rng: random.Random) -> Example:
    """One text, cut where the continuation has only one right form."""
    kind = rng.random()
    if kind < 0.55:
        return _capital(rng)
    if kind < 0.75:
        a, b = draw_operands(rng)
        return _text(f"{a} + {b} =", f" {a + b}.", key=pair_key(a, b))
    texts = SEQUENCES if kind < 0.87 else SENTENCES
    text = rng.choice(texts)
    words = text.split(" ")
    cut = rng.randint(min(2, len(words) - 1), len(words) - 1)
    prompt = " ".join(words[:cut])
    return _text(prompt, text[len(prompt) :], key="")


def _capital(rng: random.Random) -> Example:
    country = rng.choice(list(CAPITALS))
    city = CAPITALS[country]
    if rng.random() < 0.7:
        return _text(f"The capital of {country} is", f" {city.removesuffix('.')}.", key="")
    return _text(f"{city} is the capital of", f" {country}.", key="")


def _text(prompt: str, answer: str, *, key: str) -> Example:
    return Example(prompt, answer, key=key, is_chat=False)


SKILL = Skill("text_completion", weight=9, draw=draw)
