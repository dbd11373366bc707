"""Engines alternate, failures stay where they happened, and everything is closed in the end."""

from __future__ import annotations

import pytest

from sglite.bench.suite.engine import Answers
from sglite.bench.suite.jobs import all_jobs, read_jobs
from sglite.bench.suite.machine import Rates
from sglite.bench.suite.rounds import Contender, Pace, run_rounds
from sglite.errors import RemoteError

ALL = tuple(all_jobs())
RATES = Rates(read_bytes_per_s=1e9, flop_per_s=1e9)


class Fake:
    """Writes down what happens; ``broken`` names what raises."""

    version = "fake 2"

    def __init__(self, name, job, journal, broken=()):
        self.name, self.job, self.journal, self.broken = name, job, journal, broken

    def load(self):
        self._note("load")
        return 1.5

    def batch(self, asks):
        self._note("batch")
        return Answers([[1] * ask.num_new_tokens for ask in asks], 2.0)

    def stream(self, ask):
        self._note("stream")
        return Answers([[1] * ask.num_new_tokens], 3.0, 1.0)

    def close(self):
        self._note("close")

    def _note(self, what):
        self.journal.append((self.name, what))
        if what in self.broken:
            raise RemoteError(f"no {what}")


def contender(name, journal, *, broken=(), jobs=ALL):
    return Contender(name, lambda job: Fake(name, job, journal, broken), frozenset(jobs))


def run(contenders, jobs, journal, **changes):
    def measure():
        journal.append(("machine", "measure"))
        return RATES

    pace = Pace(**{"num_rounds": 2, "measure": measure, "settle_s": 0.0, "shrink": 32} | changes)
    return run_rounds(contenders, read_jobs(jobs, ALL), pace)


def test_each_round_begins_with_another_one_between_two_readings():
    journal = []
    outcome = run([contender("a", journal), contender("b", journal)], "W2", journal)
    reading = ("machine", "measure")
    assert journal == [
        *[("b", "load"), ("b", "batch"), ("a", "load"), ("a", "batch")],
        *[reading, ("a", "batch"), ("b", "batch"), reading],
        *[reading, ("b", "batch"), ("a", "batch"), reading],
        *[("a", "close"), ("b", "close")],
    ], "the first is the warm-up"
    assert [len(record.runs) for record in outcome.records["W2"].values()] == [2, 2]
    assert [each.moment for each in outcome.readings] == [
        "before 1",
        "after 1",
        "before 2",
        "after 2",
    ]
    assert outcome.versions == {"a": "fake 2", "b": "fake 2"}
    assert outcome.load_s == {"a (model)": 1.5, "b (model)": 1.5}
    assert outcome.failures == []


def test_each_contender_has_its_own_jobs():
    journal = []
    contenders = [contender("a", journal), contender("b", journal, jobs=["W1"])]
    outcome = run(contenders, "W1,W2", journal, is_warmed_up=False, num_rounds=1)
    assert [list(records) for records in outcome.records.values()] == [["a", "b"], ["a"]]
    assert ("b", "batch") not in journal


def test_who_fails_in_a_job_is_loaded_again_for_the_next():
    journal = []
    broken = contender("b", journal, broken=["batch"])
    outcome = run([contender("a", journal), broken], "W2,W1", journal)
    assert outcome.failures == ["W2 b: no batch"]
    assert len(outcome.records["W1"]["b"].runs) == 2
    assert len(outcome.records["W2"]["a"].runs) == 2
    own = [what for name, what in journal if name == "b"]
    assert own == ["load", "batch", "close", "load", "stream", "stream", "stream", "close"]


def test_who_cannot_be_loaded_is_not_tried_again():
    journal = []
    outcome = run([contender("b", journal, broken=["load"])], "W2,W1", journal)
    assert outcome.failures == ["W2 b: not loaded: no load", "W1 b: not loaded: no load"]
    assert journal.count(("b", "load")) == 1


def test_a_cold_start_is_a_load_and_a_token_every_time():
    journal = []
    outcome = run([contender("a", journal)], "W0", journal, is_warmed_up=False)
    own = [what for name, what in journal if name == "a"]
    assert own[:6] == ["load", "stream", "close"] * 2
    (record,) = outcome.records["W0"].values()
    assert [run.load_s for run in record.runs] == [1.5, 1.5]
    assert all(run.first_s is None and 0 < run.seconds < 60 for run in record.runs), "our clock"


def test_the_tiny_model_has_engines_of_its_own():
    made = []

    def make(job):
        made.append(job.is_tiny)
        return Fake("a", job, [])

    run([Contender("a", make, frozenset(ALL))], "W1,W5,W2", [], num_rounds=1)
    assert made == [False, True]


def test_engines_are_closed_whatever_happens():
    journal = []

    def interrupted(job, name, record):
        raise KeyboardInterrupt

    pace = Pace(num_rounds=1, measure=lambda: RATES, settle_s=0.0, shrink=32)
    with pytest.raises(KeyboardInterrupt):
        run_rounds([contender("a", journal)], read_jobs("W2", ALL), pace, on_run=interrupted)
    assert journal[-1] == ("a", "close")


def test_rounds_and_runs_are_told():
    told, rounds = [], []
    pace = Pace(num_rounds=2, measure=lambda: RATES, settle_s=0.0, shrink=32)
    run_rounds(
        [contender("a", [])],
        read_jobs("W2", ALL),
        pace,
        on_run=lambda job, name, record: told.append((job.name, name, len(record.runs))),
        on_round=lambda outcome: rounds.append(len(outcome.readings)),
    )
    assert told == [("W2", "a", 1), ("W2", "a", 2)]
    assert rounds == [2, 4]
