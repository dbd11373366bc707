"""Facts: answers name what was asked; yes-or-no answers are worked out again."""

from __future__ import annotations

import re

import pytest

from tests.training.drawing import draws, question
from training.skills.countries import CAPITALS, COUNTRIES, Country, plain_letters
from training.skills.facts import YES_OR_NO

EXAMPLES = draws("facts", 4_000)


def plain(text: str) -> str:
    """The text in small letters without accents."""
    return plain_letters(text).lower().removesuffix(".")


NAMES = {plain(name): one for one in COUNTRIES for name in (one.name, *one.other_names)}
CITIES = {plain(city): country for country, city in CAPITALS.items()}
YES_OR_NO_FORMS = [
    re.compile(
        re.escape(wording.lower().rstrip("?"))
        .replace(r"\{capital\}", f"(?P<city>{'|'.join(map(re.escape, CITIES))})[.]?")
        .replace(r"\{country\}", f"(?P<country>{'|'.join(map(re.escape, NAMES))})")
    )
    for wording in YES_OR_NO
]


def longest_country(text: str) -> Country:
    """The country with the longest name that a text has in words of its own."""
    found = [name for name in NAMES if re.search(rf"\b{re.escape(name)}(?!\w)", text)]
    return NAMES[max(found, key=len)]


def yes_or_no(asked: str) -> tuple[str, Country] | None:
    """The city and the country of a yes-or-no question, if it is one."""
    for form in YES_OR_NO_FORMS:
        found = form.fullmatch(plain(asked).rstrip("?"))
        if found:
            return found["city"], NAMES[found["country"]]
    return None


def test_yes_or_no_is_right() -> None:
    answers = []
    for example in EXAMPLES:
        asked = yes_or_no(question(example))
        if asked:
            city, country = asked
            is_right = CITIES[city] == country.name
            answers.append(is_right)
            assert example.answer.endswith(", so yes." if is_right else ", so no."), example
            assert country.capital in example.answer and country.name in example.answer, example
        else:
            assert not example.answer.endswith((", so yes.", ", so no.")), example
    assert 0.3 < sum(answers) / len(answers) < 0.7
    assert len(answers) > 500


def test_answers_about_a_country_name_the_one_that_was_asked() -> None:
    num_checked = 0
    for example in EXAMPLES:
        found = re.match(
            r"The (currency|main language) of (.+) is |People from (.+) are called ", example.answer
        )
        if found:
            num_checked += 1
            asked = longest_country(plain(question(example)))
            assert asked.name == (found[2] or found[3]), example
            value = {"currency": asked.currency, "main language": asked.language}
            expected = value[found[1]] if found[1] else asked.people
            assert example.answer.removesuffix(".").endswith(expected), example
    assert num_checked > 600


@pytest.mark.parametrize(
    ("question_text", "answer"),
    [
        ("What is the opposite of hot?", "The opposite of hot is cold."),
        ("What is a young cat called?", "A young cat is called a kitten."),
        ("How many legs does a spider have?", "A spider has 8 legs."),
        ("What color is snow?", "Snow is white."),
        ("How many days are there in a week?", "There are 7 days in a week."),
        ("What day comes after Monday?", "Tuesday comes after Monday."),
        ("What month comes after December?", "January comes after December."),
    ],
)
def test_what_everybody_knows(question_text: str, answer: str) -> None:
    known = {question(one).lower().rstrip("?"): one.answer for one in draws("facts", 20_000)}
    assert known[question_text.lower().rstrip("?")] == answer


def test_all_six_sources_of_facts_are_drawn() -> None:
    starts = [" ".join(example.answer.split()[:2]) for example in EXAMPLES]
    for start in ("The currency", "The main", "People from", "The capital", "The opposite"):
        assert any(one.startswith(start) for one in starts), start
