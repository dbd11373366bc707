"""T1: the cache against a model, over page sizes and kinds of KV groups.

Hypothesis plays 200 examples of 50 steps for each page size and looks for the odd case; seeded
lives, several times as many steps in the same time, look for the rare one.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.kvcache.cache_machine import CacheMachine, random_life

PAGE_SIZES = (1, 2, 16, 64)
KINDS = {"full": ("full",), "window": ("window",), "mixed": ("full", "window")}
NUM_EXAMPLES = {"full": 67, "window": 66, "mixed": 67}
NUM_STEPS = 50
NUM_LIVES = 100
NUM_STEPS_OF_A_LIFE = 100

over_all = pytest.mark.parametrize("kinds", KINDS)
over_page_sizes = pytest.mark.parametrize("page_size", PAGE_SIZES)


def machine_of(page_size: int, kinds: str) -> type[CacheMachine]:
    name = f"CacheMachine_{kinds}_{page_size}"
    return type(name, (CacheMachine,), {"page_size": page_size, "kinds": KINDS[kinds]})


def play_lives(page_size: int, kinds: str, seeds: range) -> None:
    machine = machine_of(page_size, kinds)
    for seed in seeds:
        try:
            random_life(machine(), random.Random(seed), NUM_STEPS_OF_A_LIFE)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@over_all
@over_page_sizes
def test_every_page_has_one_owner_and_holds_its_prefix(page_size, kinds):
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine_of(page_size, kinds),
        settings=settings(
            max_examples=NUM_EXAMPLES[kinds],
            stateful_step_count=NUM_STEPS,
            suppress_health_check=checks,
        ),
    )


@over_all
@over_page_sizes
def test_every_page_has_one_owner_in_busy_lives(page_size, kinds):
    play_lives(page_size, kinds, range(NUM_LIVES))


@pytest.mark.slow
@over_all
@over_page_sizes
def test_every_page_has_one_owner_for_a_million_steps(page_size, kinds):
    play_lives(page_size, kinds, range(NUM_LIVES, NUM_LIVES + 840))
