"""Medians, ratios of medians, shares of the floor."""

from __future__ import annotations

import json

import pytest

from sglite.bench.suite.figures import rates_of, summarise, to_json
from sglite.bench.suite.rounds import Outcome
from tests.bench.suite.outcomes import SETTINGS, make_outcome

FLOORS = {"W0": None, "W1": 0.1, "W2": 30.0}


def test_ratios_are_those_of_medians_and_say_how_much_faster_we_are():
    cold, stream, batch = summarise(make_outcome(), FLOORS)
    assert cold.ratios == {"<peer>": 4.0}
    assert stream.cells["sglite"].headline_s == pytest.approx(0.2), "2 s for 10 tokens"
    assert stream.cells["sglite"].tokens_per_s == pytest.approx(5.0)
    assert stream.cells["sglite"].first_s == 0.5
    assert stream.ratios == pytest.approx({"<peer>": 2.0})
    assert batch.ratios == {"other": 1.25}, "one without a run has none"
    assert batch.cells["<peer>"].failure == "no answer within 5 s"


def test_share_of_the_floor_where_there_is_one():
    shares = [row.share_of_floor for row in summarise(make_outcome(), FLOORS)]
    assert shares == [None, pytest.approx(0.5), 0.75]


def test_without_our_figure_there_are_no_ratios():
    outcome = make_outcome()
    outcome.records["W2"]["sglite"].runs.clear()
    row = summarise(outcome, FLOORS)[2]
    assert (row.ratios, row.share_of_floor) == ({}, None)


def test_rates_are_those_around_the_model_s_runs():
    rates = rates_of(make_outcome())
    assert (rates.read_bytes_per_s, rates.flop_per_s) == (35e9, 410e9)
    outcome = make_outcome()
    del outcome.readings[1:]
    assert rates_of(outcome).flop_per_s == 1.0
    assert rates_of(Outcome([])) is None


def test_json_has_every_run_and_every_reading():
    outcome = make_outcome()
    found = json.loads(json.dumps(to_json(outcome, summarise(outcome, FLOORS), SETTINGS)))
    assert found["model"] == "DIR"
    assert len(found["readings"]) == 3
    ours = found["results"]["W1"]["engines"]["sglite"]
    assert [run["seconds"] for run in ours["runs"]] == [1.5, 5.5, 2.5]
    assert [run["tokens_per_s"] for run in ours["runs"]] == [10.0, 2.0, 5.0]
    assert ours["runs"][0]["kind"] == "decode"
    assert ours["contention"] == [{"busy_s": 1.0}]
    assert found["results"]["W2"]["engines"]["<peer>"]["failure"] == "no answer within 5 s"
    assert found["results"]["W2"]["floor_s"] == 30.0
