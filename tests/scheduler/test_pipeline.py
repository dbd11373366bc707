"""How the steps of a pipeline are filled: each stage computes another one, with other sequences."""

from __future__ import annotations

import pytest

from sglite.scheduler.pipeline import fair_share
from sglite.scheduler.plan import StepPlan
from tests.scheduler.building import make_sequence
from tests.scheduler.harness import SchedulerDriver, prompts_with_output

PROMPTS = prompts_with_output(24, ends=False, count=7)


@pytest.mark.parametrize(
    ("num_ready", "num_awaited", "num_stages", "expected"),
    [
        (5, 0, 1, 5),
        (4, 0, 2, 2),
        (5, 0, 2, 3),
        (2, 3, 2, 2),
        (1, 0, 4, 1),
        (0, 3, 3, 0),
        (7, 2, 3, 3),
    ],
)
def test_a_step_takes_its_share_of_the_decodes(
    num_ready: int, num_awaited: int, num_stages: int, expected: int
) -> None:
    ready = [make_sequence("ab", order) for order in range(num_ready)]
    assert fair_share(ready, num_awaited, num_stages) == ready[:expected]


def test_what_waited_longest_is_in_the_share() -> None:
    ready = [make_sequence("ab", order) for order in range(4)]
    for sequence, last_step in zip(ready, (5, 3, 5, 4), strict=True):
        sequence.last_step = last_step
    assert fair_share(ready, 0, 2) == [ready[1], ready[3]]


def decode_counts(plans: list[StepPlan]) -> list[int]:
    """Tokens of the steps that compute nothing but decodes."""
    return [len(plan.run_rows) for plan in plans if max(plan.run_lengths) == 1]


@pytest.mark.parametrize(
    ("num_requests", "num_stages", "counts"),
    [(4, 2, {2}), (7, 2, {3, 4}), (6, 3, {2}), (7, 4, {1, 2}), (1, 4, {1})],
)
def test_the_decodes_are_dealt_out_to_the_stages(
    num_requests: int, num_stages: int, counts: set[int]
) -> None:
    driver = SchedulerDriver.make(pp_size=num_stages)
    for number in range(num_requests):
        driver.add(f"r{number}", PROMPTS[number], 24)
    driver.run()
    settled = decode_counts(driver.executor.plans)[2 * num_stages : -2 * num_stages]
    assert set(settled) == counts
    for name in driver.prompts:
        driver.check_output(name)
    driver.check_all_free()


def test_a_sequence_waits_for_its_token_and_chunks_of_a_prompt_do_not() -> None:
    driver = SchedulerDriver.make(pp_size=2, chunked_prefill_size=4)
    driver.add("r", [*PROMPTS[0], *range(1, 11)], 3)
    driver.run()
    names = [name for name, _ in driver.executor.calls if name != "sample"]
    # Three chunks: each is launched before the one before it is back. Then token by token.
    chunks = ["launch", "launch", "collect", "launch", "collect", "collect"]
    assert names == [*chunks, "launch", "collect", "launch", "collect"]
    driver.check_output("r")


def test_every_token_of_a_plan_is_known() -> None:
    driver = SchedulerDriver.make(pp_size=3)
    for number in range(5):
        driver.add(f"r{number}", PROMPTS[number], 12)
    driver.run()
    for plan in driver.executor.plans:
        assert not any(plan.run_continues)
        assert len(plan.token_ids) == sum(plan.run_lengths)


def test_a_retracted_sequence_comes_back_with_the_token_that_was_on_its_way() -> None:
    driver = SchedulerDriver.make(pp_size=3)
    for number in range(4):
        driver.add(f"r{number}", PROMPTS[number], 12)
    driver.turn(4)
    for name in ("r1", "r3"):
        assert driver.scheduler.retract(name)
        driver.turn()
    driver.scheduler.abort("r2", 0.0)
    driver.run()
    for name in ("r0", "r1", "r3"):
        driver.check_output(name)
    driver.check_all_free()
