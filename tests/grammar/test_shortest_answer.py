"""The first end of each grammar: found also where a search alone finds none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator

import pytest

from sglite.errors import RequestError
from sglite.grammar.closing import EndFinder
from sglite.grammar.llguidance_backend import LlguidanceBackend
from sglite.grammar.shortest_answer import known_texts, shortest_answer
from sglite.request import GrammarSpec
from tests.grammar.answer_loop import embedded_vocabulary
from tests.grammar.corpora import Case, ebnf_cases, regex_cases, schema_cases
from tests.grammar.random_grammars import random_grammar

Cases = Callable[[Iterable[int]], Iterator[Case]]

HARD = [
    GrammarSpec("json_schema", json.dumps({"type": "string", "pattern": r"\.json$"})),
    GrammarSpec("regex", r"\D{2,2}日本((.{3,23}\||x \-{0,1}(?:\s+\{\/)){2,4})(?:\(0*?\[){4}"),
    GrammarSpec("regex", r"[^abc]+?([abc]{20}[abc]{2,}\][\u4e00-\u4e10])"),
    GrammarSpec("ebnf", random_grammar(16).text),
    GrammarSpec("ebnf", random_grammar(41).text),
]


class Finder:
    """A backend and a finder over the embedded model's vocabulary."""

    def __init__(self) -> None:
        vocabulary = embedded_vocabulary()
        self.backend = LlguidanceBackend(vocabulary, whitespace="single")
        self.ends = EndFinder(vocabulary.pieces)

    def find(self, spec: GrammarSpec) -> str | None:
        """The text of the shortest answer, which the grammar accepts."""
        compiled = self.backend.compile(spec)
        end = shortest_answer(spec, compiled, self.ends)
        assert end is None or compiled.start().ends_after(end)
        return None if end is None else self.ends.text(end).decode("utf-8")


@pytest.fixture(scope="module")
def finder() -> Finder:
    return Finder()


@pytest.mark.parametrize("spec", HARD, ids=lambda spec: f"{spec.kind} {spec.text[:20]!r}")
def test_hard_grammars_have_an_end(finder: Finder, spec: GrammarSpec) -> None:
    assert finder.find(spec) is not None


@pytest.mark.parametrize(
    "kind, text, expected",
    [
        ("choice", '["perhaps", "no", "maybe"]', "no"),
        ("regex", "b*", ""),
        ("json_schema", '{"const": {"a": [1, 2]}}', '{"a": [1, 2]}'),
    ],
)
def test_shortest_answer(finder: Finder, kind: str, text: str, expected: str) -> None:
    assert finder.find(GrammarSpec(kind, text)) == expected  # type: ignore[arg-type]


def test_without_a_text_that_is_given_away_the_search_finds_an_end(finder: Finder) -> None:
    regular = {"type": "regex", "pattern": "[0-9]{3}"}
    spec = GrammarSpec("structural_tag", json.dumps({"type": "structural_tag", "format": regular}))
    assert known_texts(spec) == []
    found = finder.find(spec)
    assert found is not None and found.isdigit()


@pytest.mark.parametrize("text", ["{", "[]", '{"type": 7}', '{"items": 3, "minItems": "x"}'])
def test_what_is_no_schema_gives_nothing_away(text: str) -> None:
    assert known_texts(GrammarSpec("json_schema", text)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "cases, count", [(schema_cases, 1000), (regex_cases, 500), (ebnf_cases, 100)]
)
def test_every_grammar_that_compiles_has_an_end(finder: Finder, cases: Cases, count: int) -> None:
    for case in cases(range(count)):
        if not case.is_satisfiable:
            continue
        try:
            found = finder.find(case.spec)
        except RequestError:
            continue
        assert found is not None, case.name
        assert case.problem(found) is None, case.name
