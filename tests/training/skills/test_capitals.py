"""Capitals: the answer is about the country of the question, and every country is taught."""

from __future__ import annotations

from tests.training.drawing import draws, question
from training.skills.capitals import ALWAYS_TRAINED, WORDINGS, capital_answer
from training.skills.countries import COUNTRIES

EXAMPLES = draws("capitals", 3_000)
BY_ANSWER = {capital_answer(country): country for country in COUNTRIES}


def test_the_answer_is_about_the_country_of_the_question() -> None:
    assert len(BY_ANSWER) == len(COUNTRIES)
    for example in EXAMPLES:
        country = BY_ANSWER[example.answer]
        asked = question(example).lower()
        names = [country.name, country.possessive, *country.other_names]
        assert any(name.lower() in asked for name in names), example


def test_the_longest_country_that_a_question_names_is_the_one_that_is_answered() -> None:
    names = {name.lower(): one for one in COUNTRIES for name in (one.name, *one.other_names)}
    for example in EXAMPLES:
        asked = question(example).lower()
        longest = max((name for name in names if name in asked), key=len)
        assert names[longest] is BY_ANSWER[example.answer], example


def test_every_country_is_taught_by_wordings_that_are_never_held_out() -> None:
    plain = {example.answer for example in draws("capitals", 6_000) if not example.key}
    assert len(plain) > 0.95 * len(COUNTRIES)


def test_wordings_are_listed_once() -> None:
    assert len({*WORDINGS, *ALWAYS_TRAINED}) == len(WORDINGS) + len(ALWAYS_TRAINED)


def test_answers_are_sentences_with_one_full_stop() -> None:
    assert "The capital of the United States is Washington, D.C." in BY_ANSWER
    assert not [answer for answer in BY_ANSWER if answer.endswith("..")]
