"""An outcome made by hand: sglite and a peer that is half as fast, one that failed."""

from __future__ import annotations

from sglite.bench.suite.jobs import read_jobs
from sglite.bench.suite.machine import Rates
from sglite.bench.suite.rounds import Outcome, Reading, Record
from sglite.bench.suite.running import Run
from sglite.bench.suite.workloads import Kind

SLOW = Rates(read_bytes_per_s=30e9, flop_per_s=400e9)
FAST = Rates(read_bytes_per_s=40e9, flop_per_s=420e9)
SETTINGS = {
    "command": "sglite bench compare --peer b=python",
    "model": "DIR",
    "dtype": "bfloat16",
    "num_rounds": 3,
    "shrink": 1,
    "machine": {"processor": "CPU", "threads": 2, "system": "Linux", "torch": "2"},
}


def batch(seconds):
    return Run(kind=Kind.BATCH, num_in=100, num_out=100, seconds=seconds)


def stream(seconds):
    return Run(kind=Kind.DECODE, num_in=10, num_out=11, seconds=seconds + 0.5, first_s=0.5)


def cold(seconds):
    return Run(kind=Kind.COLD, num_in=10, num_out=1, seconds=seconds, load_s=1.0)


def make_outcome():
    """W0, W1 and W2; the <peer> has not finished W2."""
    outcome = Outcome(read_jobs("W0,W1,W2", ("W0", "W1", "W2")))
    outcome.records = {
        "W0": {"sglite": Record([cold(2.0)]), "<peer>": Record([cold(8.0)])},
        "W1": {
            "sglite": Record([stream(1.0), stream(5.0), stream(2.0)], [{"busy_s": 1.0}]),
            "<peer>": Record([stream(4.0), stream(4.0), stream(3.0)]),
        },
        "W2": {
            "sglite": Record([batch(40.0)]),
            "<peer>": Record(failure="no answer within 5 s"),
            "other": Record([batch(50.0)], failure="ended | later"),
        },
    }
    outcome.readings = [
        Reading("cold starts", "before 1", Rates(read_bytes_per_s=1.0, flop_per_s=1.0)),
        Reading("model", "before 1", SLOW),
        Reading("model", "after 1", FAST),
    ]
    outcome.versions = {"sglite": "sglite 1", "<peer>": "peer 2"}
    return outcome
