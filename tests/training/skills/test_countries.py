"""The facts table: spot checks by hand, and rules that every row keeps."""

from __future__ import annotations

import random

import pytest

from training.skills.countries import COUNTRIES, plain_letters, sentence

BY_NAME = {country.name: country for country in COUNTRIES}


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("France", ("Paris", "Europe", "euro", "French")),
        ("Japan", ("Tokyo", "Asia", "yen", "Japanese")),
        ("Brazil", ("Brasília", "South America", "real", "Portuguese")),
        ("Egypt", ("Cairo", "Africa", "pound", "Arabic")),
        ("Australia", ("Canberra", "Oceania", "dollar", "English")),
        ("Mexico", ("Mexico City", "North America", "peso", "Spanish")),
        ("Germany", ("Berlin", "Europe", "euro", "German")),
        ("Turkey", ("Ankara", "Europe and Asia", "lira", "Turkish")),
        ("Poland", ("Warsaw", "Europe", "złoty", "Polish")),
        ("the United Kingdom", ("London", "Europe", "pound", "English")),
    ],
)
def test_rows_are_right(name: str, row: tuple[str, str, str, str]) -> None:
    country = BY_NAME[name]
    capital, continent, currency, language = row
    assert (country.capital, country.language) == (capital, language)
    assert country.continent == continent
    assert plain_letters(currency.replace("ł", "l")) in plain_letters(
        country.currency.replace("ł", "l")
    )


def test_names_and_capitals_are_listed_once() -> None:
    assert len(COUNTRIES) >= 140
    names = [name for one in COUNTRIES for name in (one.name, *one.other_names)]
    assert len(names) == len(set(names))
    assert len({one.capital for one in COUNTRIES}) == len(COUNTRIES)


def test_no_field_has_stray_blanks_and_no_continent_is_misspelt() -> None:
    for one in COUNTRIES:
        fields = (one.name, one.capital, one.currency, one.language, one.people)
        assert all(field == field.strip() for field in fields), one
        assert one.name and one.capital
    assert {one.continent for one in COUNTRIES} == {
        *("Europe", "Europe and Asia", "Asia", "Africa"),
        *("North America", "South America", "Oceania"),
    }


def test_other_forms_of_a_name_are_drawn_sometimes() -> None:
    rng = random.Random(0)
    drawn = [BY_NAME["the United States"].asked_name(rng) for _ in range(400)]
    assert {"the USA", "the US", "United States"} < set(drawn)
    assert drawn.count("the United States") > 250
    assert BY_NAME["Brazil"].asked_capital(rng) in ("Brasília", "Brasilia")


def test_a_sentence_has_one_full_stop() -> None:
    assert sentence("it is Oslo") == "It is Oslo."
    assert sentence("it is Washington, D.C.") == "It is Washington, D.C."
