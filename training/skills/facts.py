"""Short facts: of countries, by the table, and a few dozen that everybody knows."""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.examples import Example, Skill, ask, vary
from training.skills.countries import COUNTRIES, Country, begin, sentence
from training.skills.general_facts import FAMILIES, PHRASES


@dataclass(frozen=True, slots=True)
class CountryFact:
    """One column of the table: its answer, and the wordings that ask for it.

    The first wording is always trained on.
    """

    column: str
    answer: str
    wordings: list[str]


COUNTRY_FACTS: list[CountryFact] = [
    CountryFact(
        "continent",
        "{country} is in {value}",
        [
            "Which continent is {country} in?",
            "What continent is {country} in?",
            "On which continent is {country}?",
            "Where is {country}?",
            "Where is {country} located?",
            "In which part of the world is {country}?",
            "Tell me the continent of {country}.",
            "{country} is in which continent?",
            "Name the continent of {country}.",
        ],
    ),
    CountryFact(
        "currency",
        "The currency of {country} is the {value}",
        [
            "What is the currency of {country}?",
            "What's the currency of {country}?",
            "Which currency does {country} use?",
            "What currency does {country} have?",
            "What money is used in {country}?",
            "What currency is used in {country}?",
            "Tell me the currency of {country}.",
            "Name the currency of {country}.",
            "With what money do people pay in {country}?",
            "Currency of {country}?",
        ],
    ),
    CountryFact(
        "language",
        "The main language of {country} is {value}",
        [
            "What is the main language of {country}?",
            "What's the main language of {country}?",
            "What language is spoken in {country}?",
            "Which language is spoken in {country}?",
            "Which language do people speak in {country}?",
            "What language do they speak in {country}?",
            "Tell me the language of {country}.",
            "Name the main language of {country}.",
            "What is the main official language of {country}?",
            "Language of {country}?",
        ],
    ),
    CountryFact(
        "people",
        "People from {country} are called {value}",
        [
            "What are people from {country} called?",
            "What do you call people from {country}?",
            "What are the people of {country} called?",
            "How are people from {country} called?",
            "What is the name for people from {country}?",
            "Tell me what people from {country} are called.",
        ],
    ),
]
"""What is asked of a country besides its capital."""

WHICH_COUNTRY = [
    "Which country has the capital {capital}?",
    "Which country has {capital} as its capital?",
    "{capital} is the capital of which country?",
    "What country is {capital} the capital of?",
    "Of which country is {capital} the capital?",
    "Tell me which country has the capital {capital}.",
    "Which country's capital is {capital}?",
    "What country has {capital} as its capital?",
    "Name the country whose capital is {capital}.",
]
"""From the city to its country; the first is always trained on."""

YES_OR_NO = [
    "Is {capital} the capital of {country}?",
    "Is the capital of {country} {capital}?",
    "Is it true that {capital} is the capital of {country}?",
    "{capital} is the capital of {country}, right?",
    "Is {capital} the capital city of {country}?",
]
"""Each pair of a city and a country is an instance of its own."""

COUNTRY_FACT_SHARE = 0.42
WHICH_COUNTRY_SHARE = 0.16
YES_OR_NO_SHARE = 0.18
PHRASE_SHARE = 0.08


def draw(rng: random.Random) -> Example:
    """One fact. What is held out is a wording for a fact, or a pair in a yes-or-no question."""
    chance = rng.random()
    if chance < COUNTRY_FACT_SHARE:
        return _country_fact(rng)
    chance -= COUNTRY_FACT_SHARE
    if chance < WHICH_COUNTRY_SHARE:
        return _which_country(rng)
    chance -= WHICH_COUNTRY_SHARE
    if chance < YES_OR_NO_SHARE:
        return _yes_or_no(rng)
    return _phrase(rng) if chance - YES_OR_NO_SHARE < PHRASE_SHARE else _family(rng)


def _country_fact(rng: random.Random) -> Example:
    """A column of the table where it has a value."""
    while True:
        country = rng.choice(COUNTRIES)
        fact = rng.choice(COUNTRY_FACTS)
        value = str(getattr(country, fact.column))
        if value:
            break
    wording = rng.choice(fact.wordings)
    answer = sentence(fact.answer.format(country=country.name, value=value))
    question = begin(wording.format(country=country.asked_name(rng)))
    key = "" if wording == fact.wordings[0] else f"{country.name}|{wording}"
    return ask(vary(rng, question), answer, key=key, kind="facts")


def _which_country(rng: random.Random) -> Example:
    """The country of a city."""
    country = rng.choice(COUNTRIES)
    wording = rng.choice(WHICH_COUNTRY)
    key = "" if wording == WHICH_COUNTRY[0] else f"{country.name}|{wording}"
    question = wording.format(capital=country.asked_capital(rng))
    return ask(vary(rng, question), is_capital(country), key=key, kind="facts")


def _yes_or_no(rng: random.Random) -> Example:
    """Whether a city is a country's capital: as often as not."""
    country = rng.choice(COUNTRIES)
    asked = country if rng.random() < 0.5 else rng.choice(COUNTRIES)
    wording = rng.choice(YES_OR_NO)
    question = wording.format(capital=asked.asked_capital(rng), country=country.asked_name(rng))
    key = f"{country.name}|{asked.capital}|{wording}"
    verdict = "yes" if asked == country else "no"
    answer = f"The capital of {country.name} is {country.capital}, so {verdict}."
    return ask(vary(rng, question), answer, key=key, kind="facts")


def is_capital(country: Country) -> str:
    """The sentence that names a city's country."""
    return f"{country.capital} is the capital of {country.name}."


def _family(rng: random.Random) -> Example:
    """A fact of one of the families, each of which asks all its facts alike."""
    family = rng.choices(FAMILIES, weights=[family.weight for family in FAMILIES])[0]
    asked, value = rng.choice(family.facts)
    wording = rng.choice(family.wordings)
    answer = begin(family.answer.format(asked=asked, value=value))
    key = "" if wording == family.wordings[0] else f"{asked}|{wording}"
    first, _, rest = asked.partition(" ")
    question = begin(wording.format(asked=asked, first=first, rest=rest))
    return ask(vary(rng, question), answer, key=key, kind="facts")


def _phrase(rng: random.Random) -> Example:
    """A fact that stands alone."""
    intent = rng.choice(PHRASES)
    wording = rng.choice(intent.wordings)
    key = "" if wording == intent.wordings[0] else wording
    return ask(vary(rng, wording), intent.answer, key=key, kind="facts")


SKILL = Skill("facts", weight=14, draw=draw)
