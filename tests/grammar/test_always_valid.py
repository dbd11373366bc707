"""Whatever is drawn, and however few tokens there are: what comes back has the form asked for.

Here without an engine: each token is drawn evenly from those that are allowed, which is worse than
any model (``answer_loop``). With an engine: tests/e2e/test_always_valid.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import pytest

from sglite.errors import RequestError
from tests.grammar.answer_loop import AnswerLoop, NoEndError
from tests.grammar.corpora import Case, Tally, ebnf_cases, regex_cases, schema_cases

Cases = Callable[[Iterable[int]], Iterator[Case]]

EVERYDAY = [(schema_cases, 30), (regex_cases, 20), (ebnf_cases, 10)]
EVERYTHING = [(schema_cases, 1000), (regex_cases, 500), (ebnf_cases, 100)]


@pytest.fixture(scope="module")
def loop() -> AnswerLoop:
    return AnswerLoop("llguidance")


def run(loop: AnswerLoop, cases: Iterable[Case], margins: Iterable[int]) -> Tally:
    """Answers to all cases, as short as possible and with some tokens more."""
    tally = Tally()
    for case in cases:
        try:
            grammar = loop.prepare(case.spec)
        except (RequestError, NoEndError) as error:
            tally.refuse(case, str(error))
            continue
        tally.accept(case)
        rng = random.Random(case.name)
        for margin in margins if case.is_satisfiable else ():
            limit = max(1, len(grammar.shortest_end) + margin)
            answer = loop.answer(grammar, rng, max_new_tokens=limit, jumps=margin % 2 == 0)
            tally.judge(case, answer.text, how=f"max_new_tokens={limit}")
            tally.num_cut += answer.is_cut
    return tally


@pytest.mark.parametrize("cases, count", EVERYDAY, ids=["schemas", "regexes", "ebnf"])
def test_answers_are_always_valid(loop: AnswerLoop, cases: Cases, count: int) -> None:
    tally = run(loop, cases(range(count)), margins=[0, 25])
    assert not tally.wrong, str(tally)
    assert tally.num_accepted >= 0.8 * tally.num_satisfiable, str(tally)
    assert tally.num_cut > tally.num_answers // 10, "too few were led to their end"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cases, count", EVERYTHING, ids=["schemas", "regexes", "ebnf"])
def test_answers_are_always_valid_in_large_numbers(
    loop: AnswerLoop, cases: Cases, count: int
) -> None:
    tally = run(loop, cases(range(count)), margins=[0, 1, 2, 7, 40, 150])
    print(tally)
    assert not tally.wrong, str(tally)
    assert tally.num_accepted >= 0.95 * tally.num_satisfiable, str(tally)


def test_a_wrong_answer_would_be_noticed(loop: AnswerLoop) -> None:
    """The judges are those of another schema here."""
    cases = list(schema_cases(range(12)))
    mixed = [
        Case(case.name, case.spec, other.problem)
        for case, other in pairwise(cases)
        if case.is_satisfiable
    ]
    assert len(run(loop, mixed, margins=[9]).wrong) > 3
