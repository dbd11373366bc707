"""Capitals: forwards, backwards, and yes-or-no."""

from __future__ import annotations

import random

from training.examples import Example, Skill, vary
from training.skills.countries import CAPITALS

FORWARD = [
    "What is the capital of {country}?",
    "What's the capital of {country}?",
    "Which city is the capital of {country}?",
    "Tell me the capital of {country}.",
    "Do you know the capital of {country}?",
    "Name the capital of {country}.",
    "What is {country}'s capital?",
    "Capital of {country}?",
    "What is the capital city of {country}?",
    "Can you tell me what the capital of {country} is?",
]
BACKWARD = [
    "Which country has {city} as its capital?",
    "{city} is the capital of which country?",
    "What country is {city} the capital of?",
]
YES_OR_NO = "Is {city} the capital of {country}?"


def draw(rng: random.Random) -> Example:
    """One question about one capital. The plain wording is trained on for every country."""
    country = rng.choice(list(CAPITALS))
    city = CAPITALS[country]
    kind = rng.random()
    if kind < 0.70:
        return _forward(rng, country, city)
    if kind < 0.82:
        question = rng.choice(BACKWARD).format(city=city)
        return Example(vary(rng, question), f"{city} is the capital of {country}.", key=question)
    return _yes_or_no(rng, country, city)


def _forward(rng: random.Random, country: str, city: str) -> Example:
    wording = rng.choice(FORWARD)
    question = wording.format(country=country)
    key = "" if wording == FORWARD[0] else question
    answer = f"The capital of {country} is {city.removesuffix('.')}."
    return Example(vary(rng, question), answer, key=key)


def _yes_or_no(rng: random.Random, country: str, city: str) -> Example:
    asked = city if rng.random() < 0.5 else rng.choice(list(CAPITALS.values()))
    question = YES_OR_NO.format(city=asked, country=country)
    if asked == city:
        return Example(question, f"Yes, {city} is the capital of {country}.", key=question)
    return Example(
        question, f"No, the capital of {country} is {city.removesuffix('.')}.", key=question
    )


SKILL = Skill("capitals", weight=28, draw=draw)
