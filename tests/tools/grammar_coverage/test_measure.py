"""Each outcome is told, and no schema of any kind lets something invalid pass."""

from __future__ import annotations

import pytest

from sglite.grammar.backends import make_backend
from tools.grammar_coverage.kinds import Case, read_kinds
from tools.grammar_coverage.measure import Outcome, Probe, embedded_vocabulary, share_of, typical


@pytest.fixture(scope="module")
def probe() -> Probe:
    vocabulary = embedded_vocabulary()
    return Probe(make_backend("llguidance", vocabulary, whitespace="single"), vocabulary)


def outcome(probe, schema, valid, invalid):
    return probe.ask(Case("case", schema, valid, invalid)).outcome


def test_outcomes_are_told_apart(probe):
    integer = {"type": "integer"}
    assert outcome(probe, integer, [1, 22], ["a"]) is Outcome.EXACT
    assert outcome(probe, integer, [1, "a"], [{}]) is Outcome.NARROW
    assert outcome(probe, integer, [1], ["a", 2]) is Outcome.WRONG
    assert outcome(probe, {"type": "array", "uniqueItems": True}, [[]], [[1, 1]]) is Outcome.REFUSED


def test_a_compiled_schema_has_times_and_a_refused_one_a_reason(probe):
    exact = probe.ask(Case("a", {"type": "array"}, [[1, 2]], [{}]))
    assert exact.compile_ms > 0 and len(exact.masks_us) > 1
    refused = probe.ask(Case("a", {"not": {}}, [], []))
    assert "not" in refused.why and not refused.masks_us


def test_shares_and_medians():
    assert typical([]) == "–" and typical([1.0, 2.0, 30.0]) == "2.0"
    assert share_of([], Outcome.EXACT) == "0 of 0"


@pytest.mark.parametrize("kind", read_kinds(), ids=lambda kind: kind.title)
def test_nothing_invalid_passes(probe, kind):
    wrong = [r for r in map(probe.ask, kind.cases) if r.outcome is Outcome.WRONG]
    assert not wrong
