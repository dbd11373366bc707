"""Whatever model, temperature and engine: an answer has the form asked for, however short it is.

The forms are the random corpora of ``tests/grammar``; the judges know no grammar library.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from sglite import LLM
from sglite.errors import RequestError
from sglite.generation import Generation
from sglite.make_model.checkpoint import make_model
from sglite.request import FinishReason
from tests.grammar.corpora import Case, Tally, ebnf_cases, regex_cases, schema_cases

PROMPT = "Tell me about it in a few words:"
SHORTEST = re.compile(r"shortest answer that fits \w+ takes ([\d,]+) token")
BATCH = 64
TEMPERATURES = (0.0, 2.0)

ENGINES: dict[str, dict[str, Any]] = {
    "overlap": {"max_in_flight": 2},
    "no-overlap": {"max_in_flight": 1},
    "chunks": {"chunked_prefill_size": 16, "max_in_flight": 2},
    "no-jumps": {"disable_jump_forward": True},
    "no-cache": {"disable_radix_cache": True},
    "retraction": {
        "max_total_tokens": 400,
        "schedule_conservativeness": 0.01,
        "max_in_flight": 2,
        "page_size": 1,
    },
}


def asked(case: Case, **sampling: Any) -> dict[str, Any]:
    """Sampling parameters that ask for a case's form."""
    seed = zlib.crc32(case.name.encode())
    return {case.spec.kind: case.spec.text, "sampling_seed": seed, **sampling}


def shortest_answers(llm: LLM, cases: Iterable[Case], tally: Tally) -> Iterator[tuple[Case, int]]:
    """The cases that are accepted, with the tokens that their shortest answer takes.

    One token is asked for: where that is too few the refusal names how many it takes.
    """
    for case in cases:
        try:
            llm.generate(PROMPT, asked(case, max_new_tokens=1))
            shortest = 1
        except RequestError as error:
            told = SHORTEST.search(str(error))
            if told is None:
                tally.refuse(case, str(error))
                continue
            shortest = int(told[1].replace(",", ""))
        tally.accept(case)
        if case.is_satisfiable:
            yield case, shortest


def check(
    llm: LLM, cases: Iterable[Case], margins: Sequence[int], *, n: int = 1
) -> tuple[Tally, list[Generation]]:
    """Answers to all cases: as short as possible and longer, greedy and wild."""
    tally = Tally()
    calls = [
        (case, shortest + margin, temperature)
        for case, shortest in shortest_answers(llm, cases, tally)
        for margin in margins
        for temperature in TEMPERATURES
    ]
    answers: list[Generation] = []
    for start in range(0, len(calls), BATCH):
        batch = calls[start : start + BATCH]
        sampling = [
            asked(case, max_new_tokens=limit, temperature=temperature, n=n)
            for case, limit, temperature in batch
        ]
        given = llm.generate([PROMPT] * len(batch), sampling, show_progress=False)
        of_call = chain.from_iterable([call] * n for call in batch)
        for (case, limit, temperature), answer in zip(of_call, given, strict=True):
            assert answer.finish_reason in (FinishReason.STOP, FinishReason.LENGTH), answer.message
            assert answer.num_output_tokens <= limit
            how = f"max_new_tokens={limit}, temperature={temperature}, n={n}"
            tally.judge(case, answer.text, how=how)
            tally.num_cut += answer.finish_reason is FinishReason.LENGTH
        answers += given
    return tally, answers


def everything(num_schemas: int, num_regexes: int, num_grammars: int) -> Iterator[Case]:
    yield from schema_cases(range(num_schemas))
    yield from regex_cases(range(num_regexes))
    yield from ebnf_cases(range(num_grammars))


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "random", preset="tiny")


def test_answers_are_always_valid() -> None:
    with LLM(**ENGINES["retraction"]) as llm:
        tally, answers = check(llm, everything(7, 3, 2), margins=[0, 60])
    assert not tally.wrong, str(tally)
    assert tally.num_accepted >= 0.7 * tally.num_satisfiable, str(tally)
    assert sum(answer.num_retractions for answer in answers) > 0
    assert sum(answer.num_jumped_tokens for answer in answers) > 0


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("model", ["embedded", "random"])
def test_answers_are_always_valid_in_large_numbers(model: str, random_model: Path) -> None:
    path = str(random_model) if model == "random" else None
    with LLM(path, max_in_flight=2) as llm:
        tally, _ = check(llm, schema_cases(range(1000)), margins=[0, 60])
        others, _ = check(llm, chain(regex_cases(range(500)), ebnf_cases(range(100))), [0, 60])
    print(model, tally, others, sep="\n")
    assert not tally.wrong and not others.wrong, f"{tally}\n{others}"
    assert tally.num_accepted >= 0.95 * tally.num_satisfiable, str(tally)
    assert others.num_accepted >= 0.95 * others.num_satisfiable, str(others)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", list(ENGINES))
def test_every_engine_gives_valid_answers(engine: str, random_model: Path) -> None:
    with LLM(str(random_model), **ENGINES[engine]) as llm:
        tally, answers = check(llm, everything(100, 50, 30), margins=[0, 100])
        samples, _ = check(llm, schema_cases(range(100, 120)), margins=[0, 40], n=4)
    assert not tally.wrong and not samples.wrong, f"{tally}\n{samples}"
    # An answer that is led to its end gets that at once, also without jumps.
    uncut = [answer for answer in answers if answer.finish_reason is FinishReason.STOP]
    has_jumped = any(answer.num_jumped_tokens for answer in uncut)
    assert has_jumped == (engine != "no-jumps")
    if engine == "retraction":
        assert any(answer.num_retractions for answer in answers)
