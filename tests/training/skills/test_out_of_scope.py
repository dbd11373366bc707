"""What the model does not know: nothing that another skill answers."""

from __future__ import annotations

from tests.training.drawing import draws, question
from training.skills import out_of_scope
from training.skills.countries import COUNTRIES
from training.skills.guide import TOPICS
from training.skills.guide_answers import normalized
from training.skills.out_of_scope import (
    ANSWER,
    ANSWER_ZH,
    NAME_ENDS,
    NAME_MIDDLES,
    NAME_STARTS,
    TOPICS_ZH,
)


def test_no_unknown_country_exists() -> None:
    invented = {a + b + c for a in NAME_STARTS for b in NAME_MIDDLES for c in NAME_ENDS}
    known = {name for one in COUNTRIES for name in (one.name, *one.other_names)}
    assert len(invented) > 1_000
    assert not invented & known


def test_no_unknown_topic_is_one_of_the_guides() -> None:
    names = {normalized(name) for one in TOPICS.values() for name in one.names + one.names_zh}
    assert not names & {normalized(name) for name in out_of_scope.TOPICS + TOPICS_ZH}


def test_the_answer_has_the_language_of_the_question() -> None:
    examples = draws("out_of_scope")
    assert {example.answer for example in examples} == {ANSWER, ANSWER_ZH}
    for example in examples:
        assert (example.answer == ANSWER) == question(example).isascii(), example
