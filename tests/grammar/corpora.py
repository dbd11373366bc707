"""The three corpora as one: what is asked for, and the judge of an answer."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from sglite.request import GrammarSpec
from tests.grammar.checks import regex_problem, schema_problem
from tests.grammar.random_grammars import random_grammar
from tests.grammar.random_regexes import random_regex
from tests.grammar.random_schemas import random_schema


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to ask for. ``problem`` says what is wrong with an answer, None if nothing is."""

    name: str
    spec: GrammarSpec
    problem: Callable[[str], str | None]
    is_satisfiable: bool = True


def schema_cases(seeds: Iterable[int]) -> Iterator[Case]:
    """Random JSON schemas."""
    for seed in seeds:
        drawn = random_schema(seed)
        spec = GrammarSpec("json_schema", json.dumps(drawn.schema))
        judge = _judge_of_schema(drawn.schema)
        yield Case(str(drawn), spec, judge, drawn.is_satisfiable)


def _judge_of_schema(schema: object) -> Callable[[str], str | None]:
    return lambda text: schema_problem(schema, text)


def regex_cases(seeds: Iterable[int]) -> Iterator[Case]:
    """Random regular expressions."""
    for seed in seeds:
        drawn = random_regex(seed)
        yield Case(str(drawn), GrammarSpec("regex", drawn.pattern), _judge_of_regex(drawn.pattern))


def _judge_of_regex(pattern: str) -> Callable[[str], str | None]:
    return lambda text: regex_problem(pattern, text)


def ebnf_cases(seeds: Iterable[int]) -> Iterator[Case]:
    """Random grammars."""
    for seed in seeds:
        grammar = random_grammar(seed)
        yield Case(str(grammar), GrammarSpec("ebnf", grammar.text), _judge_of_grammar(grammar))


def _judge_of_grammar(grammar: object) -> Callable[[str], str | None]:
    accepts = grammar.accepts  # type: ignore[attr-defined]
    return lambda text: None if accepts(text) else f"{text!r} is no text of the grammar"


@dataclass(slots=True)
class Tally:
    """What came of a corpus: how many were accepted, why others were not, what went wrong."""

    num_satisfiable: int = 0
    num_accepted: int = 0
    num_answers: int = 0
    num_cut: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def refuse(self, case: Case, message: str) -> None:
        """A case was refused with a message."""
        if case.is_satisfiable:
            self.num_satisfiable += 1
            self.refusals[reason_of(message)] += 1

    def accept(self, case: Case) -> None:
        """A case was compiled: right if it can be satisfied."""
        if case.is_satisfiable:
            self.num_satisfiable += 1
            self.num_accepted += 1
        else:
            self.wrong.append(f"{case.name}: accepted, though nothing fits {case.spec.text[:200]}")

    def judge(self, case: Case, text: str, *, how: str) -> None:
        """An answer to a case."""
        self.num_answers += 1
        problem = case.problem(text)
        if problem is not None:
            self.wrong.append(f"{case.name} ({how}): {problem}; wrote {text[:200]!r}")

    def __str__(self) -> str:
        lines = [
            f"{self.num_accepted} of {self.num_satisfiable} accepted, {self.num_answers} answers, "
            f"{self.num_cut} cut short, {len(self.wrong)} wrong"
        ]
        lines += [f"  {count:4} x {reason}" for reason, count in self.refusals.most_common()]
        return "\n".join([*lines, *(f"  WRONG {line}" for line in self.wrong[:20])])


def reason_of(message: str) -> str:
    """A refusal's message without what is particular to one case."""
    keywords = re.search(r"keywords that cannot be enforced: (.*?)\. Leave", message)
    return keywords[1] if keywords else message[:90]
