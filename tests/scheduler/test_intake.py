from __future__ import annotations

import pytest

from sglite.config import CacheOptions, SchedulerOptions
from sglite.errors import CapacityError
from sglite.kvcache.cache_manager import CacheManager
from sglite.observability.events import EventStream
from sglite.request import Request
from sglite.scheduler.intake import MAX_ENDED, Intake
from sglite.scheduler.waiting_queue import WaitingQueue
from tests.scheduler.harness import SchedulerDriver
from tests.scheduler.simulation import GROUPS


def make_intake(**options: object) -> tuple[Intake, WaitingQueue]:
    cache_names = {"disable_radix_cache", "radix_cache_max_prompt_tokens"}
    for_cache = {k: v for k, v in options.items() if k in cache_names}
    cache_options = CacheOptions(page_size=16, **for_cache)
    scheduling = SchedulerOptions(**{k: v for k, v in options.items() if k not in cache_names})
    cache = CacheManager(GROUPS["full"], [8], cache_options, EventStream())
    queue = WaitingQueue("fcfs", cache, max_wait_s=10.0, lpm_fallback_threshold=10, seed=0)
    return Intake(scheduling, cache_options, cache, queue), queue


def request(name: str = "r", num_tokens: int = 4, **traits: object) -> Request:
    return Request(request_id=name, prompt_token_ids=[1] * num_tokens, **traits)


def test_arrivals_are_numbered() -> None:
    intake, _ = make_intake()
    orders = [
        intake.accept(request(name), 0.0, num_free_rows=1, num_live=0).arrival_order
        for name in "abc"
    ]
    assert orders == [0, 1, 2]


def test_a_refused_request_leaves_nothing_behind() -> None:
    intake, queue = make_intake(max_queued_requests=1, request_timeout_s=5.0)
    queue.add(intake.accept(request("a", group_id="g"), 0.0, num_free_rows=0, num_live=0))
    with pytest.raises(CapacityError):
        intake.accept(request("b", group_id="g"), 0.0, num_free_rows=0, num_live=1)
    assert intake._group_sizes == {"g": 1}
    assert len(intake._deadlines) == 1
    # With more free rows than requests that wait, it would not wait at all.
    assert intake.accept(request("b"), 0.0, num_free_rows=2, num_live=1).arrival_order == 1


def test_a_queue_of_no_length_still_takes_what_can_run_at_once() -> None:
    intake, _ = make_intake(max_queued_requests=0)
    assert intake.accept(request(), 0.0, num_free_rows=1, num_live=0)
    with pytest.raises(CapacityError, match="max_queued_requests is 0"):
        intake.accept(request(), 0.0, num_free_rows=0, num_live=1)


def test_one_prompt_may_be_larger_than_the_queue() -> None:
    intake, queue = make_intake(max_queued_tokens=10)
    queue.add(intake.accept(request("a", 50), 0.0, num_free_rows=1, num_live=0))
    with pytest.raises(CapacityError, match="51 prompt tokens would wait"):
        intake.accept(request("b", 1), 0.0, num_free_rows=1, num_live=1)


def test_deadlines_pass_in_their_order_and_once() -> None:
    intake, _ = make_intake()
    for name, deadline_s in (("late", 9.0), ("soon", 3.0), ("sooner", 2.0), ("never", None)):
        intake.accept(request(name, deadline_s=deadline_s), 0.0, num_free_rows=1, num_live=0)
    assert intake.expired(1.9) == []
    assert [s.request_id for s in intake.expired(3.0)] == ["sooner", "soon"]
    assert intake.expired(3.0) == []
    assert [s.request_id for s in intake.expired(1e9)] == ["late"]


def test_the_deadline_of_an_ended_request_means_nothing() -> None:
    intake, _ = make_intake(request_timeout_s=1.0)
    intake.accept(request(), 0.0, num_free_rows=1, num_live=0).finished = True
    assert intake.expired(5.0) == []


def test_ended_requests_are_not_kept_until_their_deadline() -> None:
    driver = SchedulerDriver.make(request_timeout_s=1e6)
    for number in range(300):
        driver.add(f"r{number}", [1, 2], 0)
        driver.run()
    assert len(driver.scheduler._intake._deadlines) <= MAX_ENDED + 1
    # None that lives is forgotten by it.
    driver.add("last", [3, 4], 20, deadline_s=5.0)
    driver.now = 5.0
    driver.turn()
    assert "deadline" in str(driver.finishes["last"].message)


@pytest.mark.parametrize(
    ("num_live", "factor", "asked", "given"),
    [(3, 0.8, 10, 10), (4, 0.8, 10, 8), (4, 0.5, 1, 1), (4, 0.01, 10, 1), (99, 0.8, 0, 0)],
)
def test_max_new_tokens_shrinks_over_the_threshold_but_not_to_nothing(
    num_live: int, factor: float, asked: int, given: int
) -> None:
    intake, _ = make_intake(
        adaptive_max_new_tokens=True,
        adaptive_max_inflight_threshold=4,
        adaptive_max_new_tokens_factor=factor,
    )
    sequence = intake.accept(request(max_new_tokens=asked), 0.0, num_free_rows=1, num_live=num_live)
    assert sequence.max_total - sequence.num_prompt_tokens == given


def test_without_the_cache_only_samples_of_one_prompt_share() -> None:
    intake, _ = make_intake(disable_radix_cache=True)
    alone = intake.accept(request("a"), 0.0, num_free_rows=1, num_live=0)
    samples = [
        intake.accept(request(f"g-{i}", group_id="g"), 0.0, num_free_rows=1, num_live=0)
        for i in range(2)
    ]
    others = intake.accept(request("h-0", group_id="h"), 0.0, num_free_rows=1, num_live=0)
    assert not alone.can_share and not alone.can_insert
    assert all(sample.can_share and sample.can_insert for sample in samples)
    assert samples[0].namespace == samples[1].namespace != others.namespace
    for sample in samples:
        intake.forget(sample)
    assert intake._group_sizes == {"h": 1}


def test_long_prompts_share_what_is_there_and_add_nothing() -> None:
    intake, _ = make_intake(radix_cache_max_prompt_tokens=8)
    sequence = intake.accept(request("a", 9), 0.0, num_free_rows=1, num_live=0)
    assert sequence.can_share and not sequence.can_insert
    assert intake.accept(request("b", 8), 0.0, num_free_rows=1, num_live=0).can_insert
