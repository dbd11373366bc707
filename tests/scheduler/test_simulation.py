"""T2: random schedules of arrivals, aborts, faults and retractions over the fake model.

A quarter of the lives have a pipeline of 2 to 4 stages below them. Each life checks every invariant
after every step, and every output against the model alone.
"""

from __future__ import annotations

import random

import pytest

from tests.scheduler.simulation import Life, Setting

NUM_SCHEDULES = 10_000
NUM_PARTS = 20


def live(seed: int) -> None:
    """One random life; its seed is its name."""
    rng = random.Random(seed)
    Life(Setting.drawn(rng), rng).run()


@pytest.mark.parametrize("part", range(NUM_PARTS))
def test_every_request_ends_once_and_right(part: int) -> None:
    for seed in range(part, NUM_SCHEDULES, NUM_PARTS):
        live(seed)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(100))
def test_every_request_ends_once_and_right_at_length(part: int) -> None:
    for seed in range(NUM_SCHEDULES + part, 500_000, 100):
        live(seed)
