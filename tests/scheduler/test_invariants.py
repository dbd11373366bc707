"""The check itself has teeth: every kind of damage is noticed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sglite.scheduler.invariants import check_scheduler
from sglite.scheduler.scheduler import Scheduler
from sglite.scheduler.sequence import SequenceState
from tests.scheduler.harness import SchedulerDriver, prompts_with_output


@pytest.fixture
def scheduler() -> Scheduler:
    """Two requests run, a third waits."""
    driver = SchedulerDriver.make(max_running_requests=2)
    for number, prompt in enumerate(prompts_with_output(12, ends=False, count=3)):
        driver.add(f"r{number}", prompt, 12)
    driver.turn(2)
    assert len(driver.scheduler.batch.running) == 2
    check_scheduler(driver.scheduler)
    return driver.scheduler


def lose_row(scheduler: Scheduler) -> None:
    scheduler.batch.running[0].row = scheduler.batch.running[1].row


def lose_page(scheduler: Scheduler) -> None:
    pages = scheduler.batch.running[0].pages
    assert pages is not None
    pages.page_ids[0].pop()


def free_page_in_use(scheduler: Scheduler) -> None:
    pages = scheduler.batch.running[0].pages
    assert pages is not None
    scheduler.cache.allocators[0].free_from_sequence(pages.page_ids[0][-1:], after_step=None)


def forget_waiting(scheduler: Scheduler) -> None:
    scheduler.queue.arrivals.clear()


def forget_running(scheduler: Scheduler) -> None:
    del scheduler.live[scheduler.batch.running[0].request_id]


def wrong_state(scheduler: Scheduler) -> None:
    scheduler.batch.running[0].state = SequenceState.DRAINING


def swap_order(scheduler: Scheduler) -> None:
    scheduler.batch.running.reverse()


def count_too_far(scheduler: Scheduler) -> None:
    scheduler.batch.running[0].num_computed += 5


DAMAGES = [
    (lose_row, "a row leaked"),
    (lose_page, "a private page leaked"),
    (free_page_in_use, "page"),
    (forget_waiting, "a waiting request is not queued"),
    (forget_running, "a running request has no row"),
    (wrong_state, "a running request has no row"),
    (swap_order, "not in order of arrival"),
    (count_too_far, "computed 8, scheduled 3 of 4"),
]


@pytest.mark.parametrize(
    ("damage", "message"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES]
)
def test_damage_is_noticed(
    scheduler: Scheduler, damage: Callable[[Scheduler], None], message: str
) -> None:
    damage(scheduler)
    with pytest.raises(AssertionError, match=message):
        check_scheduler(scheduler)


def test_prefixes_in_flight_must_be_gone_when_idle() -> None:
    driver = SchedulerDriver.make()
    driver.add("r", list(range(1, 20)), 2)
    driver.run()
    check_scheduler(driver.scheduler)
    driver.scheduler.prefixes._computing[1] = None  # type: ignore[assignment]
    with pytest.raises(AssertionError, match="remembers ended requests"):
        check_scheduler(driver.scheduler)


@pytest.fixture
def pipeline() -> Scheduler:
    """Two requests decode in two stages, one in each of the open steps."""
    driver = SchedulerDriver.make(pp_size=2)
    for number, prompt in enumerate(prompts_with_output(12, ends=False, count=2)):
        driver.add(f"r{number}", prompt, 12)
    driver.turn(3)
    scheduler = driver.scheduler
    scheduler.plan_step(3.0)
    check_scheduler(scheduler)
    assert [len(step.sequences) for step in scheduler.open_steps] == [1, 1]
    return scheduler


def continue_what_is_unknown(scheduler: Scheduler) -> None:
    scheduler.open_steps[0].plan.run_continues = [True]


def plan_before_the_token(scheduler: Scheduler) -> None:
    first, second = (step.plan for step in scheduler.open_steps)
    second.run_rows = first.run_rows


def lose_a_token(scheduler: Scheduler) -> None:
    scheduler.batch.running[0].num_pending = 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (continue_what_is_unknown, "continues what is not known"),
        (plan_before_the_token, "before their tokens"),
        (lose_a_token, "0 tokens on their way, not 1"),
    ],
)
def test_damage_to_a_pipeline_is_noticed(
    pipeline: Scheduler, damage: Callable[[Scheduler], None], message: str
) -> None:
    damage(pipeline)
    with pytest.raises(AssertionError, match=message):
        check_scheduler(pipeline)
