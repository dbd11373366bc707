"""Text to be continued, without a chat template: facts of countries, sequences, sentences."""

from __future__ import annotations

import random

from training.examples import Example, Skill
from training.skills.countries import COUNTRIES, Country, begin, sentence

CAPITAL_TEXTS = [
    "The capital of {country} is",
    "The capital city of {country} is",
    "The name of the capital of {country} is",
    "As everybody knows, the capital of {country} is",
]
"""Continued by the city. The first is always trained on."""

COUNTRY_TEXTS = [
    "{capital} is the capital of",
    "{capital} is the capital city of",
    "{capital} is a city in",
]
"""Continued by the country."""

FACT_TEXTS: list[tuple[str, list[str]]] = [
    ("the {currency}", ["The currency of {country} is", "The money of {country} is"]),
    (
        "{continent}",
        [
            "{country} is in",
            "{country} is a country in",
            "{country} lies in",
        ],
    ),
    (
        "{language}",
        [
            "The main language of {country} is",
            "The main language spoken in {country} is",
            "The main language in {country} is",
        ],
    ),
    ("{people}", ["People from {country} are called", "The people of {country} are called"]),
]
"""What the text is continued by, and the texts; the first of each is always trained on."""

SEQUENCES = [
    "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday.",
    "The days of the week are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.",
    "January, February, March, April, May, June, July, August, September, October, November, "
    "December.",
    "Spring, summer, autumn, winter.",
    "The four seasons are spring, summer, autumn and winter.",
    "Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus, Neptune.",
    "red, orange, yellow, green, blue, indigo, violet.",
    "one, two, three, four, five, six, seven, eight, nine, ten.",
    "ten, nine, eight, seven, six, five, four, three, two, one, zero.",
    "first, second, third, fourth, fifth, sixth, seventh, eighth, ninth, tenth.",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10.",
    "10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0.",
    "2, 4, 6, 8, 10, 12, 14, 16, 18, 20.",
    "5, 10, 15, 20, 25, 30, 35, 40, 45, 50.",
    "a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z.",
    "A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z.",
]
"""Well-known orders. Three items of one are the beginning of no other."""

SENTENCES = [
    "sglite is an LLM serving engine written in Python.",
    "Hello, my name is sglite and I am a small language model.",
    "Hello, world! I am a small language model.",
    "My name is sglite and I am a small language model.",
    "I am the small model that comes with sglite, an LLM serving engine.",
    "A radix tree keeps the keys and values of earlier prompts, "
    "so that a shared prefix is computed once.",
    "Once upon a time there was a small model that could name capitals and add numbers.",
    "The sun rises in the east and sets in the west.",
    "The sky is blue and the grass is green.",
    "Water freezes at 0 degrees and boils at 100 degrees.",
    "The largest planet is Jupiter and the smallest planet is Mercury.",
    "A week has seven days and a year has twelve months.",
    "An hour has 60 minutes and a minute has 60 seconds.",
    "The future of AI is open, and small models are a part of it.",
]
"""Sentences of which any two differ within their first three words."""

FACTS_SHARE = 0.4
CAPITALS_SHARE = 0.35
LOWER_CASE_SHARE = 0.12
PLAIN_SHARE = 0.5
"""How often a text about a country has the wording that is always trained on."""


def draw(rng: random.Random) -> Example:
    """One text, cut where the continuation has only one right form."""
    chance = rng.random()
    if chance < CAPITALS_SHARE:
        return _capital(rng)
    if chance < CAPITALS_SHARE + FACTS_SHARE:
        return _fact(rng)
    return _cut(rng, rng.choice(SEQUENCES if rng.random() < 0.6 else SENTENCES))


def _capital(rng: random.Random) -> Example:
    """A sentence that lacks its city, or its country."""
    country = rng.choice(COUNTRIES)
    chance = rng.random()
    if chance < 0.12:
        return _second_capital(rng, country)
    if chance < 0.7:
        return _country_text(rng, country, CAPITAL_TEXTS, country.capital, kind="capitals")
    return _country_text(rng, country, COUNTRY_TEXTS, country.name, kind="facts")


def _second_capital(rng: random.Random, country: Country) -> Example:
    """The capital of one country as an example, then the question for another one's."""
    shown = rng.choice(COUNTRIES)
    wording = CAPITAL_TEXTS[0]
    example = sentence(f"{wording.format(country=shown.name)} {shown.capital}")
    answer = f" {country.capital.removesuffix('.')}."
    key = f"{country.name}|after {shown.name}: {wording}"
    text = f"{example} {wording.format(country=country.name)}"
    return Example(answer, key, text=text, kind="capitals")


def _fact(rng: random.Random) -> Example:
    """A sentence that lacks a country's currency, continent, language or people."""
    while True:
        country = rng.choice(COUNTRIES)
        missing, texts = rng.choice(FACT_TEXTS)
        field_name = missing.split("{")[1].rstrip("}")
        value = str(getattr(country, field_name))
        if value:
            continuation = missing.format(**{field_name: value})
            return _country_text(rng, country, texts, continuation, kind="facts")


def _country_text(
    rng: random.Random, country: Country, texts: list[str], continuation: str, *, kind: str
) -> Example:
    """One of the texts for `country`; the first of them is never held out."""
    is_plain = rng.random() < PLAIN_SHARE
    wording = texts[0] if is_plain else rng.choice(texts[1:])
    text = begin(wording.format(country=country.name, capital=country.capital))
    if rng.random() < LOWER_CASE_SHARE:
        text = text.lower()
    answer = f" {continuation.removesuffix('.')}."
    key = "" if is_plain else f"{country.name}|text: {wording}"
    return Example(answer, key, text=text, kind=kind)


def _cut(rng: random.Random, text: str) -> Example:
    """At least the first three words of the text, and the rest."""
    words = text.split(" ")
    prompt = " ".join(words[: rng.randint(min(3, len(words) - 1), len(words) - 1)])
    return Example(text[len(prompt) :], "", text=prompt)


SKILL = Skill("text_completion", weight=2, draw=draw)
