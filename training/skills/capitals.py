"""The capital of a country, asked in many wordings and answered in one."""

from __future__ import annotations

import random

from training.examples import Example, Skill, ask, vary
from training.skills.countries import COUNTRIES, Country, begin, sentence

ALWAYS_TRAINED = [
    "What is the capital of {country}?",
    "The capital of {country} is",
]
"""Wordings that teach every country, so that none of them is ever held out."""

WORDINGS = [
    "What's the capital of {country}?",
    "Which city is the capital of {country}?",
    "What city is the capital of {country}?",
    "Tell me the capital of {country}.",
    "Please tell me the capital of {country}.",
    "Do you know the capital of {country}?",
    "Name the capital of {country}.",
    "Give me the capital of {country}.",
    "Capital of {country}?",
    "What is the capital city of {country}?",
    "Which city is the capital city of {country}?",
    "Can you tell me what the capital of {country} is?",
    "Can you name the capital of {country}?",
    "I want to know the capital of {country}.",
    "Which capital does {country} have?",
    "What capital does {country} have?",
    "{country} has which capital?",
    "What is {possessive} capital?",
    "Name {possessive} capital city.",
    "Say the capital of {country}.",
    "The capital of {country}?",
    "Complete the sentence: The capital of {country} is",
    "So what is the capital of {country}?",
    "And the capital of {country}?",
    "And what is the capital of {country}?",
    "What would be the capital of {country}?",
]
"""Wordings of which each country has some held out."""

PLAIN_SHARE = 0.2
"""How often a question has one of the wordings that are always trained on."""


def capital_answer(country: Country) -> str:
    """The one sentence that names a capital."""
    return sentence(f"The capital of {country.name} is {country.capital}")


def draw(rng: random.Random) -> Example:
    """One question for one capital. What is held out is a wording for a country."""
    country = rng.choice(COUNTRIES)
    is_plain = rng.random() < PLAIN_SHARE
    wording = rng.choice(ALWAYS_TRAINED if is_plain else WORDINGS)
    question = wording.format(country=country.asked_name(rng), possessive=country.possessive)
    key = "" if is_plain else f"{country.name}|{wording}"
    return ask(vary(rng, begin(question)), capital_answer(country), key=key, kind="capitals")


SKILL = Skill("capitals", weight=4, draw=draw)
