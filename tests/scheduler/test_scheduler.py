from __future__ import annotations

from collections.abc import Callable

import pytest

from sglite.errors import CapacityError
from sglite.observability.events import Evicted, Finished, HeldBack, Retracted, Stepped
from sglite.request import FinishReason, SamplingParams
from sglite.scheduler.budget import ALONE, FIRST_CHUNK
from sglite.scheduler.plan import StopMatch
from sglite.scheduler.sequence import SequenceState
from tests.fakes import EOS, expected_output
from tests.scheduler.harness import SchedulerDriver, prompt_with_output, prompts_with_output


def numbers(count: int, start: int = 1) -> list[int]:
    """A prompt that shares no prefix with one of another ``start``."""
    return [start + i % 7 for i in range(count)]


FOUR_LONG = prompts_with_output(30, ends=False, count=4)
LONG = FOUR_LONG[0]


# -- the step --------------------------------------------------------------------------------------


def test_requests_join_and_leave_between_two_steps() -> None:
    driver = SchedulerDriver.make()
    driver.add("long", LONG, 30)
    driver.turn(3)
    short = prompt_with_output(4, ends=False)
    driver.add("short", short, 4)
    driver.turn(4)
    assert driver.finishes.keys() == {"short"}
    assert len(driver.outputs["long"]) == 7
    driver.run()
    together = [plan for plan in driver.executor.plans if len(plan.run_rows) == 2]
    assert len(together) == 4
    for name in ("long", "short"):
        driver.check_output(name)
    driver.check_all_free()


def test_decodes_and_a_chunk_share_a_step() -> None:
    driver = SchedulerDriver.make(chunked_prefill_size=8)
    driver.add("decoding", LONG, 30)
    driver.turn(2)
    driver.add("prefilling", numbers(20), 2)
    driver.turn(3)
    lengths = [plan.run_lengths for plan in driver.executor.plans[2:]]
    assert lengths == [[1, 8], [1, 8], [1, 4]]
    assert [plan.run_continues for plan in driver.executor.plans[2:]] == [[True, False]] * 3
    # Only the last chunk of a prompt is sampled.
    assert [plan.sample_runs for plan in driver.executor.plans[2:]] == [[0], [0], [0, 1]]


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_a_fixed_budget_bounds_the_prompt_tokens_of_a_step(chunk: int) -> None:
    driver = SchedulerDriver.make(chunked_prefill_size=chunk)
    for number in range(3):
        driver.add(f"r{number}", numbers(50, 1 + 7 * number), 3)
    driver.run()
    prefilled = [
        sum(length for _, _, length, _ in event.runs) - event_decodes(event)
        for event in driver.told(Stepped)
    ]
    assert max(prefilled) == min(chunk, 150)
    assert sum(prefilled) == 150
    for name in driver.prompts:
        driver.check_output(name)


def event_decodes(event: Stepped) -> int:
    """Runs behind the prompts of 50 tokens."""
    return sum(start >= 50 for _, start, _, _ in event.runs)


def test_without_a_limit_all_prompts_go_in_one_step() -> None:
    driver = SchedulerDriver.make(chunked_prefill_size=-1, num_pages=1024)
    for number in range(3):
        driver.add(f"r{number}", numbers(500, 1 + 7 * number), 1)
    driver.turn()
    assert sum(driver.executor.plans[0].run_lengths) == 1500
    assert len(driver.finishes) == 3


def test_a_time_budget_learns_how_many_tokens_fit() -> None:
    driver = SchedulerDriver.make(
        chunked_prefill_size=None, target_itl_ms=50.0, page_size=16, num_pages=512
    )
    driver.executor.seconds = lambda num_tokens: 0.001 * num_tokens
    driver.add("r", [1 + i % 89 for i in range(4000)], 1)
    driver.run()
    chunks = [plan.run_lengths[0] for plan in driver.executor.plans]
    assert chunks[0] == FIRST_CHUNK
    largest = ALONE * 50  # nobody waits for a next token
    assert all(0.9 * largest <= chunk <= largest for chunk in chunks[5:-1]), chunks


@pytest.mark.parametrize(("is_streamed", "largest"), [(True, 50), (False, ALONE * 50)])
def test_a_prompt_joins_a_stream_in_smaller_chunks(is_streamed: bool, largest: float) -> None:
    driver = SchedulerDriver.make(
        chunked_prefill_size=None, target_itl_ms=50.0, page_size=16, num_pages=512
    )
    driver.executor.seconds = lambda num_tokens: 0.001 * num_tokens
    endless = SamplingParams(ignore_eos=True)
    driver.add("decoding", LONG, 200, sampling=endless, is_streamed=is_streamed)
    driver.add("whole", numbers(20), 200, sampling=endless)
    driver.turn(2)
    driver.add("joining", [1 + i % 89 for i in range(2000)], 1, is_streamed=True)
    while "joining" not in driver.finishes:
        driver.turn()
    plans = [plan for plan in driver.executor.plans if len(plan.run_rows) == 3]
    chunks = [plan.run_lengths[2] for plan in plans]
    assert all(0.9 * largest <= chunk + 2 <= largest for chunk in chunks[5:-1]), chunks
    assert len(chunks) > 8


def test_an_empty_plan_is_not_launched() -> None:
    driver = SchedulerDriver.make()
    assert driver.scheduler.plan_step(0.0).is_empty
    driver.turn()
    assert driver.executor.calls == []
    assert driver.scheduler.num_open_steps == 0


def test_steps_commit_in_order() -> None:
    driver = SchedulerDriver.make()
    driver.add("r", LONG, 4)
    first = driver.scheduler.plan_step(0.0)
    second = driver.scheduler.plan_step(0.0)
    handles = [driver.executor.launch(plan) for plan in (first, second)]
    with pytest.raises(AssertionError, match="out of order"):
        driver.scheduler.commit(second, driver.executor.collect(handles[1]), 0.0)


@pytest.mark.parametrize("groups", ["full", "window", "mixed"])
@pytest.mark.parametrize("max_in_flight", [1, 2, 3])
def test_every_number_of_open_steps_gives_the_same_tokens(max_in_flight: int, groups: str) -> None:
    driver = SchedulerDriver.make(
        max_in_flight=max_in_flight, groups=groups, chunked_prefill_size=16, num_pages=40
    )
    for number in range(8):
        driver.add(f"r{number}", numbers(5 + 6 * number, 1 + number % 3), 5 + number)
        driver.turn()
    driver.run()
    for name in driver.prompts:
        driver.check_output(name)
    driver.check_all_free()


# -- order of admission ----------------------------------------------------------------------------


def admitted(policy: str, requests: list[tuple[str, list[int], int, int]], **options: float):
    """Who is admitted when, one at a time, all waiting behind a running request.

    ``requests`` are (id, prompt, max_new_tokens, priority).
    """
    driver = SchedulerDriver.make(schedule_policy=policy, max_running_requests=1, **options)
    driver.add("cached", [3, 1, 4, 1, 5, 9, 2, 6], 1)
    driver.run()
    driver.add("blocker", LONG, 6)
    driver.turn()
    for request_id, prompt, max_new_tokens, priority in requests:
        driver.add(request_id, prompt, max_new_tokens, priority=priority)
    driver.run()
    for name in driver.prompts:
        driver.check_output(name)
    return driver.admission_order()[2:]


FIVE = [
    ("a", [31, 32, 33], 2, 0),
    ("b", [3, 1, 4, 1, 40, 41], 6, 1),
    ("c", [50, 51], 4, 3),
    ("d", [3, 1, 4, 1, 5, 9, 2, 6, 60], 3, 1),
    ("e", [70, 71], 7, 2),
]


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        ("fcfs", "abcde"),
        ("lpm", "dbace"),  # d finds two cached pages, b one
        ("lof", "ebcda"),
        ("priority", "cebda"),
        ("dfs-weight", "bdace"),  # depth-first below the one branch, then those without prefix
        ("weight", "bdace"),
    ],
)
def test_the_policy_orders_admissions(policy: str, order: str) -> None:
    assert "".join(admitted(policy, FIVE)) == order


def test_the_random_policy_shuffles_and_repeats() -> None:
    many = [(f"r{number}", [10 + number], 1, 0) for number in range(12)]
    order = admitted("random", many)
    assert order == admitted("random", many)
    assert sorted(order) == sorted(name for name, *_ in many)
    assert order != [name for name, *_ in many]


def test_lpm_orders_a_long_queue_by_arrival() -> None:
    assert "".join(admitted("lpm", FIVE, lpm_fallback_threshold=3)).startswith("ab")


def test_the_aging_bound_beats_the_policy() -> None:
    driver = SchedulerDriver.make(
        schedule_policy="lof", max_running_requests=1, max_wait_s=5.0, chunked_prefill_size=8
    )
    driver.add("blocker", LONG, 8)
    driver.turn()
    driver.add("short", [50, 51], 1)
    driver.now = 3.0
    driver.add("long", [60, 61], 20)
    driver.now = 5.5  # short is over the bound, long is not
    driver.run()
    assert driver.admission_order() == ["blocker", "short", "long"]


def test_a_prompt_that_does_not_fit_is_not_overtaken() -> None:
    driver = SchedulerDriver.make(num_pages=16, schedule_policy="fcfs")
    driver.add("running", LONG, 20)
    driver.turn()
    driver.add("large", numbers(56, 20), 4)
    driver.add("small", [90], 1)
    driver.turn(3)
    assert driver.admission_order() == ["running"]
    assert "not enough free KV pages" in {event.reason for event in driver.told(HeldBack)}
    driver.run()
    assert driver.admission_order() == ["running", "large", "small"]


# -- static batching -------------------------------------------------------------------------------


@pytest.mark.parametrize("max_in_flight", [1, 2])
def test_static_batching_admits_whole_batches_and_gives_the_same_tokens(max_in_flight: int) -> None:
    driver = SchedulerDriver.make(
        static_batching=True,
        max_running_requests=3,
        chunked_prefill_size=8,
        max_in_flight=max_in_flight,
    )
    for number in range(7):
        driver.add(f"r{number}", numbers(6 + number, 1 + 9 * number), 3 + 2 * number)
    driver.run()
    batches = [
        [setup.request_id for setup in plan.added_rows]
        for plan in driver.executor.plans
        if plan.added_rows
    ]
    assert batches == [["r0", "r1", "r2"], ["r3", "r4", "r5"], ["r6"]]
    for name in driver.prompts:
        driver.check_output(name)
    driver.check_all_free()


def test_static_batching_takes_more_steps() -> None:
    num_steps = {}
    for static in (False, True):
        driver = SchedulerDriver.make(static_batching=static, max_running_requests=2)
        for number, length in enumerate((20, 2, 2, 2)):
            driver.add(f"r{number}", prompt_with_output(length, ends=False), length)
        driver.run()
        num_steps[static] = len(driver.executor.plans)
    assert num_steps[True] > num_steps[False]


# -- limits ----------------------------------------------------------------------------------------


def test_a_full_queue_refuses_with_a_hint_and_loses_nothing() -> None:
    driver = SchedulerDriver.make(max_running_requests=1, max_queued_requests=2)
    driver.add("running", LONG, 9)
    driver.turn()
    for name in ("w0", "w1"):
        driver.add(name, [40, 41], 2)
    with pytest.raises(CapacityError, match="max_queued_requests is 2") as refusal:
        driver.add("w2", [50], 1)
    assert refusal.value.retry_after_s is not None and refusal.value.retry_after_s > 0
    assert "w2" not in driver.scheduler.live
    driver.run()
    driver.add("w2", [50], 1)
    driver.run()
    assert driver.finishes.keys() == {"running", "w0", "w1", "w2"}
    driver.check_all_free()


def test_too_many_queued_tokens_are_refused() -> None:
    driver = SchedulerDriver.make(max_running_requests=1, max_queued_tokens=20)
    driver.add("running", numbers(30), 9)  # alone, it may be larger than the bound
    driver.turn()
    driver.add("w0", numbers(12, 20), 2)
    with pytest.raises(CapacityError, match="max_queued_tokens is 20"):
        driver.add("w1", numbers(9, 40), 2)
    driver.add("w2", numbers(8, 50), 2)
    driver.run()
    assert driver.finishes.keys() == {"running", "w0", "w2"}


def test_deadlines_end_waiting_and_running_requests() -> None:
    driver = SchedulerDriver.make(max_running_requests=1)
    driver.add("running", LONG, 30, deadline_s=10.0)
    driver.add("waiting", [40], 2, deadline_s=5.0)
    driver.add("patient", [50], 2)
    driver.turn(3)
    driver.now = 5.0
    driver.turn()
    assert driver.finishes.keys() == {"waiting"}
    driver.now = 10.0
    driver.turn()
    assert driver.finishes["running"].reason is FinishReason.ABORT
    assert "deadline" in str(driver.finishes["running"].message)
    # What came before the deadline stays with the caller.
    assert driver.outputs["running"] == expected_output(LONG, 30)[:4]
    driver.run()
    driver.check_output("patient")
    driver.check_all_free()


def test_a_default_deadline_counts_from_arrival_and_yields_to_the_requests_own() -> None:
    driver = SchedulerDriver.make(max_running_requests=1, request_timeout_s=2.0)
    driver.add("running", LONG, 30, deadline_s=100.0)
    driver.turn()
    driver.now = 1.0
    driver.add("default", [40], 2)
    driver.now = 2.9
    driver.turn()
    assert not driver.finishes
    driver.now = 3.0
    driver.turn()
    assert driver.finishes.keys() == {"default"}


def test_adaptive_limits_shorten_new_requests_over_the_threshold_and_say_so() -> None:
    driver = SchedulerDriver.make(
        adaptive_max_new_tokens=True, adaptive_max_inflight_threshold=2, max_running_requests=8
    )
    prompt = prompt_with_output(10, ends=False)
    for number in range(4):
        driver.add(f"r{number}", prompt, 10)
    driver.run()
    assert [driver.finishes[f"r{i}"].max_new_tokens for i in range(4)] == [10, 10, 8, 8]
    assert [len(driver.outputs[f"r{i}"]) for i in range(4)] == [10, 10, 8, 8]
    driver.add("later", prompt, 10)
    driver.run()
    assert driver.finishes["later"].max_new_tokens == 10


def test_limits_are_not_adapted_unless_asked_for() -> None:
    driver = SchedulerDriver.make(adaptive_max_inflight_threshold=1)
    for number in range(3):
        driver.add(f"r{number}", LONG, 10)
    driver.run()
    assert {finish.max_new_tokens for finish in driver.finishes.values()} == {10}


# -- the end of a request --------------------------------------------------------------------------


def waiting() -> SchedulerDriver:
    driver = SchedulerDriver.make(max_running_requests=1)
    driver.add("other", LONG, 8)
    driver.turn()
    driver.add("r", numbers(9), 8)
    driver.turn()
    assert driver.scheduler.live["r"].state is SequenceState.WAITING
    return driver


def held_back() -> SchedulerDriver:
    driver = SchedulerDriver.make(chunked_prefill_size=20, max_in_flight=2)
    driver.add("other", numbers(39), 4)
    driver.add("r", numbers(38), 8)
    driver.turn()
    assert HeldBack("r", "other is computing its prefix") in driver.events
    assert driver.scheduler.live["r"].state is SequenceState.WAITING
    return driver


def computing_what_another_waits_for() -> SchedulerDriver:
    driver = SchedulerDriver.make(chunked_prefill_size=20, max_in_flight=2)
    driver.add("r", numbers(39), 4)
    driver.add("other", numbers(38), 8)
    driver.turn()
    assert HeldBack("other", "r is computing its prefix") in driver.events
    assert driver.scheduler.live["other"].state is SequenceState.WAITING
    return driver


def between_chunks() -> SchedulerDriver:
    driver = SchedulerDriver.make(chunked_prefill_size=8)
    driver.add("other", LONG, 8)
    driver.add("r", numbers(40), 8)
    driver.turn(2)
    assert 0 < driver.scheduler.live["r"].num_computed < 40
    return driver


def decoding() -> SchedulerDriver:
    driver = SchedulerDriver.make()
    driver.add("other", LONG, 8)
    driver.add("r", [2, *LONG], 8)
    driver.turn(3)
    assert driver.scheduler.live["r"].num_output_tokens == 3
    return driver


def in_two_open_steps() -> SchedulerDriver:
    driver = SchedulerDriver.make(max_in_flight=3)
    driver.add("other", LONG, 8)
    driver.add("r", [2, *LONG], 8)
    driver.turn(2)
    assert driver.scheduler.num_open_steps == 2
    assert driver.scheduler.live["r"].num_pending == 2
    return driver


def in_open_chunks() -> SchedulerDriver:
    driver = SchedulerDriver.make(max_in_flight=3, chunked_prefill_size=8)
    driver.add("other", LONG, 8)
    driver.add("r", numbers(50), 8)
    driver.turn(2)
    sequence = driver.scheduler.live["r"]
    assert sequence.num_computed + 8 < sequence.num_scheduled < 50
    return driver


def draining() -> SchedulerDriver:
    driver = in_two_open_steps()
    assert driver.scheduler.retract("r")
    assert driver.scheduler.live["r"].state is SequenceState.DRAINING
    return driver


def retracted() -> SchedulerDriver:
    driver = SchedulerDriver.make(max_running_requests=2)
    driver.add("other", LONG, 8)
    driver.add("r", [2, *LONG], 8)
    driver.turn(3)
    assert driver.scheduler.retract("r")
    assert driver.scheduler.live["r"].state is SequenceState.WAITING
    assert driver.scheduler.live["r"].num_output_tokens == 3
    return driver


STATES = [
    waiting,
    held_back,
    computing_what_another_waits_for,
    between_chunks,
    decoding,
    in_two_open_steps,
    in_open_chunks,
    draining,
    retracted,
]


@pytest.mark.parametrize("how", ["abort", "fail", "deadline"])
@pytest.mark.parametrize("prepare", STATES, ids=lambda state: state.__name__)
def test_a_request_can_be_ended_in_every_state(
    prepare: Callable[[], SchedulerDriver], how: str
) -> None:
    driver = prepare()
    scheduler = driver.scheduler
    if how == "deadline":
        sequence = scheduler.live["r"]
        scheduler._intake._deadlines.append((0.0, sequence.arrival_order, sequence))
        driver.turn()
    elif how == "abort":
        assert driver.engine.abort("r")
        assert not driver.engine.abort("r")
    else:
        assert scheduler.fail("r", 0.0, "its grammar failed")
        assert not scheduler.fail("r", 0.0, "again")
    told_before = len(driver.outputs["r"])
    driver.turn(2)
    assert driver.finishes["r"].reason is (
        FinishReason.ERROR if how == "fail" else FinishReason.ABORT
    )
    assert len(driver.outputs["r"]) == told_before == driver.finishes["r"].num_output_tokens
    driver.run()
    driver.check_output("other")
    assert [event.request_id for event in driver.told(Finished)].count("r") == 1
    driver.check_all_free()


def test_unknown_requests_are_not_ended() -> None:
    driver = decoding()
    assert not driver.engine.abort("R")
    assert not driver.engine.abort("")
    assert not driver.scheduler.retract("unknown")
    driver.run()
    driver.check_output("r")


def test_a_taken_request_id_is_noticed() -> None:
    driver = decoding()
    with pytest.raises(AssertionError, match="request id in use: r"):
        driver.add("r", [1], 1)


def test_an_aborted_chunk_leaves_only_written_pages_behind() -> None:
    driver = in_open_chunks()
    driver.engine.abort("r")
    driver.run()
    driver.add("again", numbers(50), 4)
    driver.run()  # reads every tag of the pages that it finds
    assert 0 < driver.finishes["again"].num_cached_tokens < 48
    driver.check_output("again")


# -- retraction ------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_in_flight", [1, 2, 3])
def test_a_retracted_request_keeps_its_tokens_and_its_output(max_in_flight: int) -> None:
    driver = SchedulerDriver.make(max_in_flight=max_in_flight)
    driver.add("old", LONG, 30)
    driver.add("r", [2, *LONG], 20)
    driver.turn(5)
    assert driver.scheduler.retract("r")
    assert not driver.scheduler.retract("r")
    driver.run()
    assert driver.finishes["r"].num_retractions == 1
    for name in ("old", "r"):
        driver.check_output(name)
    # It is told once that it started, with what was cached then.
    assert driver.finishes["r"].num_cached_tokens == 0
    driver.check_all_free()


def test_memory_pressure_retracts_the_youngest_and_never_the_oldest() -> None:
    driver = SchedulerDriver.make(num_pages=14, schedule_conservativeness=0.01)
    for number, prompt in enumerate(FOUR_LONG):
        driver.add(f"r{number}", prompt, 30)
    driver.run()
    retracted_ids = [event.request_id for event in driver.told(Retracted)]
    assert retracted_ids and "r0" not in retracted_ids
    assert retracted_ids[0] == "r3"
    assert max(finish.num_retractions for finish in driver.finishes.values()) < 10
    for name in driver.prompts:
        driver.check_output(name)
    driver.check_all_free()


def test_retraction_makes_admission_more_careful() -> None:
    driver = SchedulerDriver.make(num_pages=14, schedule_conservativeness=0.01)
    before = driver.scheduler.estimate.ratio
    for number, prompt in enumerate(FOUR_LONG):
        driver.add(f"r{number}", prompt, 30)
    while not driver.told(Retracted):
        assert driver.engine.has_work
        driver.turn()
    assert driver.scheduler.estimate.ratio > before


@pytest.mark.parametrize("max_in_flight", [1, 2, 3])
def test_a_request_alone_that_exhausts_the_pool_ends_with_length(max_in_flight: int) -> None:
    driver = SchedulerDriver.make(num_pages=8, max_in_flight=max_in_flight)
    driver.add("pinned", numbers(16, 50), 0, pin_prefix=True)
    driver.run()
    driver.add("r", LONG, 30)
    driver.run()
    finish = driver.finishes["r"]
    assert finish.reason is FinishReason.LENGTH
    assert "32 tokens, 16 of them pinned" in str(finish.message)
    # Two tokens of prompt; 16 slots hold all but the last token.
    assert driver.outputs["r"] == expected_output(LONG, 30)[:15]


def test_a_prompt_that_pinned_prefixes_leave_no_room_for_ends_with_an_error() -> None:
    driver = SchedulerDriver.make(num_pages=8)
    driver.add("pinned", numbers(16, 50), 0, pin_prefix=True)
    driver.run()
    driver.add("too large", numbers(20, 20), 4)
    driver.add("small", numbers(6, 20), 4)
    driver.run()
    finish = driver.finishes["too large"]
    assert finish.reason is FinishReason.ERROR
    assert "unpin prefixes or raise max_total_tokens" in str(finish.message)
    driver.check_output("small")
    assert driver.scheduler.cache.unpin("", numbers(16, 50))
    driver.add("too large again", numbers(20, 20), 4)
    driver.run()
    driver.check_output("too large again")
    driver.check_all_free()


# -- faults, stops, and the last token -------------------------------------------------------------


@pytest.mark.parametrize("max_in_flight", [1, 2, 3])
def test_a_nan_ends_that_request_alone_and_its_pages_stay_out_of_the_cache(
    max_in_flight: int,
) -> None:
    driver = SchedulerDriver.make(max_in_flight=max_in_flight)
    driver.executor.invalid_requests.add("r")
    driver.add("other", LONG, 8)
    driver.add("r", numbers(20), 8)
    driver.run()
    finish = driver.finishes["r"]
    assert finish.reason is FinishReason.ERROR
    assert finish.message == "the model's output was not a number"
    assert driver.outputs["r"] == []
    driver.check_output("other")
    driver.add("again", numbers(20), 8)
    driver.run()
    assert driver.finishes["again"].num_cached_tokens == 0
    driver.check_output("again")
    driver.check_all_free()


@pytest.mark.parametrize("max_in_flight", [1, 2])
def test_a_nan_in_a_piece_of_a_prompt_stays_out_of_the_cache(max_in_flight: int) -> None:
    driver = SchedulerDriver.make(max_in_flight=max_in_flight, chunked_prefill_size=8)
    driver.add("r", numbers(40), 8)
    driver.turn(1)
    driver.executor.invalid_chunks.add("r")
    driver.run()
    finish = driver.finishes["r"]
    assert finish.reason is FinishReason.ERROR and driver.outputs["r"] == []
    good = driver.scheduler.cache.stats().num_cached_tokens
    assert good in (8, 16), "what was written before the NaN may stay"
    driver.add("again", numbers(40), 8)
    driver.run()
    assert driver.finishes["again"].num_cached_tokens == good
    driver.check_output("again")
    driver.check_all_free()


def test_a_nan_while_decoding_keeps_the_tokens_before_it() -> None:
    driver = SchedulerDriver.make()
    driver.add("r", LONG, 8)
    driver.turn(3)
    driver.executor.invalid_requests.add("r")
    driver.run()
    assert driver.finishes["r"].reason is FinishReason.ERROR
    assert driver.outputs["r"] == expected_output(LONG, 8)[:3]
    assert driver.scheduler.cache.stats().num_cached_tokens == 0


@pytest.mark.parametrize("max_in_flight", [1, 2])
def test_no_new_tokens_means_prefill_only(max_in_flight: int) -> None:
    driver = SchedulerDriver.make(max_in_flight=max_in_flight, chunked_prefill_size=8)
    driver.add("r", numbers(21), 0)
    driver.run()
    finish = driver.finishes["r"]
    assert (finish.reason, finish.num_output_tokens) == (FinishReason.LENGTH, 0)
    assert finish.timings.first_token_s is None
    assert [plan.sample_runs for plan in driver.executor.plans] == [[], [], []]
    assert driver.scheduler.cache.stats().num_cached_tokens == 20


class StopAfter:
    """A verdict at the n-th token."""

    def __init__(self, num_tokens: int) -> None:
        self.left = num_tokens

    def push(self, token_id: int) -> StopMatch | None:
        self.left -= 1
        return StopMatch("END") if self.left == 0 else None


@pytest.mark.parametrize("max_in_flight", [1, 2, 3])
def test_a_stop_string_wins_over_the_end_token(max_in_flight: int) -> None:
    prompt = prompt_with_output(5, ends=True)
    driver = SchedulerDriver.make(
        max_in_flight=max_in_flight, make_checker=lambda _: StopAfter(5), page_size=1
    )
    driver.add("r", prompt, 20)
    driver.run()
    finish = driver.finishes["r"]
    assert (finish.reason, finish.matched) == (FinishReason.STOP, "END")
    assert driver.outputs["r"][-1] == EOS


def test_a_stop_string_wins_over_the_length() -> None:
    driver = SchedulerDriver.make(make_checker=lambda _: StopAfter(5))
    driver.add("r", LONG, 5)
    driver.run()
    assert driver.finishes["r"].reason is FinishReason.STOP


def test_the_end_token_wins_over_the_length_and_is_named() -> None:
    driver = SchedulerDriver.make()
    driver.add("r", prompt_with_output(5, ends=True), 5)
    driver.run()
    assert (driver.finishes["r"].reason, driver.finishes["r"].matched) == (FinishReason.STOP, EOS)


def test_ignore_eos_ignores_stop_token_ids_too() -> None:
    driver = SchedulerDriver.make()
    prompt = prompt_with_output(5, ends=True)
    sampling = SamplingParams(ignore_eos=True, stop_token_ids=(expected_output(prompt, 5)[1],))
    driver.add("r", prompt, 12, sampling=sampling)
    driver.run()
    assert driver.finishes["r"].reason is FinishReason.LENGTH
    assert driver.outputs["r"] == expected_output(prompt, 12, stop_at_eos=False)


def test_stop_token_ids_end_a_request() -> None:
    driver = SchedulerDriver.make()
    stop = expected_output(LONG, 5)[3]
    driver.add("r", LONG, 12, sampling=SamplingParams(stop_token_ids=(stop,)))
    driver.run()
    assert driver.finishes["r"].matched == stop
    assert driver.outputs["r"][-1] == stop and len(driver.outputs["r"]) <= 4


@pytest.mark.parametrize("max_in_flight", [2, 3])
def test_the_surplus_token_of_an_ended_request_goes_nowhere(max_in_flight: int) -> None:
    prompt = prompt_with_output(6, ends=True)
    driver = SchedulerDriver.make(max_in_flight=max_in_flight, page_size=1)
    driver.add("r", prompt, 20)
    driver.run()
    assert driver.executor.num_computed_tokens > len(prompt) + 5, "nothing was in flight"
    assert driver.outputs["r"] == expected_output(prompt, 20)
    assert driver.finishes["r"].num_output_tokens == 6
    # Computed were the prompt, the output before EOS, and EOS or more: EOS is the last fact.
    surplus = expected_output(prompt, 8, stop_at_eos=False)
    ids = prompt + surplus
    match = driver.scheduler.cache.match("", ids, len(ids))
    assert match.num_tokens <= len(prompt) + 6
    driver.add("again", ids, 4)
    driver.run()
    driver.check_output("again")


# -- shared prefixes -------------------------------------------------------------------------------


def test_a_prefix_in_flight_is_waited_for() -> None:
    driver = SchedulerDriver.make(chunked_prefill_size=8)
    prefix = numbers(32)
    for number in range(5):
        driver.add(f"r{number}", [*prefix, 40 + number], 2)
    driver.run()
    assert driver.executor.num_computed_tokens == 32 + 5 + 5  # the prefix, the tails, one decode
    cached = [driver.finishes[f"r{number}"].num_cached_tokens for number in range(5)]
    assert cached == [0, 32, 32, 32, 32]
    for name in driver.prompts:
        driver.check_output(name)


def test_samples_of_one_prompt_share_it_without_the_cache() -> None:
    driver = SchedulerDriver.make(disable_radix_cache=True)
    for sample in range(3):
        driver.add(f"s{sample}", numbers(30), 4, group_id="g")
    driver.add("alone", numbers(30), 4)
    driver.run()
    cached = [driver.finishes[name].num_cached_tokens for name in ("s0", "s1", "s2", "alone")]
    assert cached == [0, 28, 28, 0]
    assert driver.scheduler.cache.stats().num_cached_tokens == 0
    driver.check_all_free()


def test_prompts_over_a_length_are_not_cached() -> None:
    driver = SchedulerDriver.make(radix_cache_max_prompt_tokens=20)
    for name, prompt in (("long", numbers(24)), ("short", numbers(20))):
        driver.add(name, prompt, 0)
        driver.run()
    assert driver.scheduler.cache.stats().num_cached_tokens == 20


def test_cached_prefixes_give_way_to_running_requests() -> None:
    driver = SchedulerDriver.make(num_pages=8)
    for number in range(4):
        driver.add(f"r{number}", numbers(24, 1 + 20 * number), 4)
        driver.run()
        driver.check_output(f"r{number}")
    assert driver.told(Evicted)


@pytest.mark.parametrize("start_len", [0, 5, 20])
@pytest.mark.parametrize("max_in_flight", [1, 2])
def test_prompt_logprobs_come_once_each_whatever_happens(
    max_in_flight: int, start_len: int
) -> None:
    driver = SchedulerDriver.make(chunked_prefill_size=8, max_in_flight=max_in_flight)
    prompt = [1 + i % 5 + i // 5 for i in range(40)]
    driver.add("warm", prompt, 0)
    driver.run()
    driver.add("old", LONG, 30)
    driver.add("r", prompt, 4, start_len=start_len)
    driver.turn(2)
    assert driver.scheduler.retract("r")
    driver.turn(3)
    assert driver.scheduler.retract("r")
    driver.run()
    assert driver.prompt_logprobs["r"] == prompt[start_len + 1 :]
    assert driver.finishes["r"].num_cached_tokens == start_len // 4 * 4
    driver.check_output("r")


# -- pause -----------------------------------------------------------------------------------------


def test_a_paused_scheduler_plans_nothing_and_still_aborts() -> None:
    driver = decoding()
    driver.scheduler.is_paused = True
    before = len(driver.executor.plans)
    driver.turn(3)
    driver.engine.abort("r")
    driver.turn()
    assert driver.finishes.keys() == {"r"}
    driver.add("new", [40], 2)
    driver.turn(3)
    assert len(driver.executor.plans) == before
    driver.scheduler.is_paused = False
    driver.run()
    driver.check_output("other")
    driver.check_output("new")
