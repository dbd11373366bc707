from __future__ import annotations

import logging
import threading

import pytest

from sglite.engine.engine import Engine
from sglite.executors.threaded_executor import ThreadedExecutor
from sglite.grammar.backend import GrammarTooComplexError, Words
from sglite.grammar.constraint import Taken
from sglite.request import FinishReason, SamplingParams
from sglite.scheduler.plan import RowSetup, StopMatch
from tests.engine.judges import Judge
from tests.fakes import expected_output
from tests.scheduler.harness import SchedulerDriver, prompt_with_output, prompts_with_output
from tests.scheduler.simulation import standing_tokens

PROMPTS = prompts_with_output(12, ends=False, count=6)


def positions(calls: list[tuple[str, int]], name: str) -> dict[int, int]:
    return {step: index for index, (called, step) in enumerate(calls) if called == name}


def test_one_step_in_flight_is_collected_before_the_next_is_launched() -> None:
    driver = SchedulerDriver.make(max_in_flight=1)
    driver.add("r", PROMPTS[0], 4)
    driver.run()
    names = [name for name, _ in driver.executor.calls]
    assert names == ["launch", "sample", "collect"] * 4


@pytest.mark.parametrize("max_in_flight", [2, 3])
def test_steps_in_flight_are_launched_before_the_earlier_are_collected(max_in_flight: int) -> None:
    driver = SchedulerDriver.make(max_in_flight=max_in_flight)
    driver.add("r", PROMPTS[0], 12)
    driver.run()
    launched = positions(driver.executor.calls, "launch")
    collected = positions(driver.executor.calls, "collect")
    assert list(collected) == sorted(collected), "steps are collected in order"
    overlapping = 12 - max_in_flight + 1
    for step in range(1, overlapping + 1):
        assert launched[step + max_in_flight - 1] < collected[step]
        assert collected[step] < launched.get(step + max_in_flight, 1 << 30)


@pytest.mark.parametrize("max_in_flight", [1, 2, 3])
def test_tokens_do_not_depend_on_the_steps_in_flight(max_in_flight: int) -> None:
    driver = SchedulerDriver.make(max_in_flight=max_in_flight)
    driver.engine.executor = ThreadedExecutor(driver.executor)  # type: ignore[arg-type]
    for number, prompt in enumerate(PROMPTS):
        driver.add(f"r{number}", prompt, 12)
        driver._take(driver.engine.step())
    while driver.engine.has_work:  # not turn(): it looks at what another thread changes here
        driver._take(driver.engine.step())
    for name in driver.prompts:
        driver.check_output(name)
    driver.engine.close()
    assert driver.executor.is_closed
    assert "executor" not in " ".join(thread.name for thread in threading.enumerate())


@pytest.mark.parametrize("method", ["launch", "sample", "collect"])
@pytest.mark.parametrize("is_threaded", [False, True])
def test_a_fault_of_the_executor_surfaces(
    monkeypatch: pytest.MonkeyPatch, method: str, is_threaded: bool
) -> None:
    driver = SchedulerDriver.make(max_in_flight=2)

    def fault(*_: object) -> None:
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(driver.executor, method, fault)
    if is_threaded:
        driver.engine.executor = ThreadedExecutor(driver.executor)  # type: ignore[arg-type]
    driver.add("r", PROMPTS[0], 4)
    with pytest.raises(RuntimeError, match="the device is gone"):
        driver.engine.step()
    driver.engine.close()
    assert driver.executor.is_closed


def test_counters_and_stats_say_what_happened() -> None:
    driver = SchedulerDriver.make(max_running_requests=2, page_size=1)
    for number in range(3):
        driver.add(f"r{number}", PROMPTS[number], 12)
    driver.turn(2)
    stats = driver.engine.stats()
    assert (stats["num_running_requests"], stats["num_waiting_requests"]) == (2, 1)
    assert (stats["num_output_tokens"], stats["num_finished_requests"]) == (4, 0)
    driver.scheduler.retract("r1")
    driver.run()
    driver.add("again", PROMPTS[0], 1)
    driver.run()
    stats = driver.engine.stats()
    assert stats["num_finished_requests"] == 4
    assert stats["num_prompt_tokens"] == 8
    assert stats["num_output_tokens"] == 37
    assert stats["num_retractions"] == 1
    assert stats["num_cached_tokens"] == driver.finishes["again"].num_cached_tokens == 1
    assert stats["num_steps"] == len(driver.executor.plans)
    assert stats["cache_num_free_tokens"] + stats["cache_num_cached_tokens"] == 256


def test_the_cache_is_flushed_when_idle_and_only_then() -> None:
    driver = SchedulerDriver.make(page_size=1)
    driver.add("r", PROMPTS[0], 4)
    driver.turn()
    assert not driver.engine.try_flush_cache()
    driver.run()
    assert driver.engine.stats()["cache_num_cached_tokens"] > 0
    assert driver.engine.try_flush_cache()
    assert driver.engine.stats()["cache_num_cached_tokens"] == 0


def test_a_leaked_page_is_reported_when_idle(caplog: pytest.LogCaptureFixture) -> None:
    driver = SchedulerDriver.make()
    driver.engine.check = False
    driver.add("r", PROMPTS[0], 2)
    with caplog.at_level(logging.ERROR, logger="sglite"):
        driver.run()
        assert not caplog.records
        driver.scheduler.cache.allocators[0].try_allocate(3)
        driver.add("s", PROMPTS[1], 2)
        driver.run()
    assert [record.message for record in caplog.records] == ["kv_pages_leaked"]
    assert caplog.records[0].fields["pages"] == 3  # type: ignore[attr-defined]


def test_invariants_are_checked_after_every_step_if_asked_for() -> None:
    driver = SchedulerDriver.make()
    driver.add("r", PROMPTS[0], 8)
    driver.turn()
    driver.scheduler.cache.allocators[0].try_allocate(1)
    with pytest.raises(AssertionError, match="leaked"):
        driver.turn()


class BrokenChecker:
    """Fails at the third token, or while it is told what was there before."""

    def __init__(self) -> None:
        self.num_tokens = 0

    def push(self, token_id: int) -> StopMatch | None:
        self.num_tokens += 1
        if self.num_tokens == 3:
            raise ValueError("catastrophic pattern")
        return None


@pytest.mark.parametrize("max_in_flight", [1, 2])
def test_a_stop_check_that_fails_ends_its_request_alone(max_in_flight: int) -> None:
    driver = SchedulerDriver.make(
        max_in_flight=max_in_flight,
        make_checker=lambda sampling: BrokenChecker() if sampling.stop else None,
    )
    driver.add("other", PROMPTS[0], 12)
    driver.add("r", PROMPTS[1], 12, sampling=SamplingParams(stop=("x",)))
    driver.run()
    finish = driver.finishes["r"]
    assert finish.reason is FinishReason.ERROR
    assert finish.message == "the check of its output failed"
    assert driver.outputs["r"] == expected_output(PROMPTS[1], 3)
    driver.check_output("other")
    driver.check_all_free()


def test_an_idle_engine_has_nothing_to_tell() -> None:
    engine: Engine = SchedulerDriver.make().engine
    assert not engine.has_work
    assert not engine.step()
    assert not engine.abort("nobody")
    assert engine.counters.num_steps == 0


def test_the_end_of_the_last_request_is_still_to_be_told() -> None:
    driver = SchedulerDriver.make()
    driver.add("r", PROMPTS[0], 4)
    driver.turn()
    assert driver.engine.abort("r")
    assert driver.engine.has_work
    assert driver.engine.try_flush_cache()  # nothing runs, though
    driver.turn()
    assert driver.finishes["r"].reason is FinishReason.ABORT
    assert not driver.engine.has_work


def test_times_come_from_the_clock() -> None:
    driver = SchedulerDriver.make(max_running_requests=1)
    driver.now = 1.0
    driver.add("first", prompt_with_output(3, ends=False), 3)
    driver.add("second", PROMPTS[0], 2)
    for now in (2.0, 3.0, 5.0, 8.0, 13.0):
        driver.now = now
        driver.turn()
    timings = driver.finishes["second"].timings
    assert timings.arrival_s == 1.0
    assert timings.admitted_s == timings.first_token_s == 8.0
    assert timings.finished_s == 13.0


@pytest.mark.parametrize(
    ("max_in_flight", "pp_size"), [(1, 1), (2, 1), (3, 1), (2, 2), (4, 4), (5, 3)]
)
def test_tokens_that_stand_are_the_same_however_many_steps_are_open(
    max_in_flight: int, pp_size: int
) -> None:
    judges: dict[str, Judge] = {}

    def make(setup: RowSetup) -> Judge | None:
        number = int(setup.request_id[1:])
        if number % 2:
            return None
        judges[setup.request_id] = Judge(PROMPTS[number], setup)
        return judges[setup.request_id]

    driver = SchedulerDriver.make(
        max_in_flight=max_in_flight, pp_size=pp_size, make_constraint=make
    )
    for number, prompt in enumerate(PROMPTS):
        driver.add(f"r{number}", prompt, 12)
    for _ in range(3):
        driver.turn()
    driver.scheduler.retract("r2")
    driver.run()
    for number, prompt in enumerate(PROMPTS):
        stands = None if number % 2 else standing_tokens
        assert driver.outputs[f"r{number}"] == expected_output(prompt, 12, stands=stands)
    assert any(finish.num_jumped_tokens for finish in driver.finishes.values())
    assert judges["r0"].seen != driver.outputs["r0"]


def test_a_masked_step_is_sampled_when_its_grammar_has_seen_the_step_before() -> None:
    driver = SchedulerDriver.make(
        max_in_flight=2, make_constraint=lambda setup: Judge(PROMPTS[0], setup)
    )
    driver.add("r0", PROMPTS[0], 12)
    driver.run()
    launched = positions(driver.executor.calls, "launch")
    sampled = positions(driver.executor.calls, "sample")
    collected = positions(driver.executor.calls, "collect")
    overlapped = [step for step in launched if launched[step] < collected.get(step - 1, -1)]
    assert overlapped, "no step was launched ahead"
    assert all(collected[step - 1] < sampled[step] for step in overlapped)


def test_in_a_pipeline_a_masked_step_is_sampled_when_it_is_launched() -> None:
    """The rows of the open steps before it are others, so its grammars have seen all they need."""
    driver = SchedulerDriver.make(
        pp_size=2, make_constraint=lambda setup: Judge(PROMPTS[int(setup.request_id[1:])], setup)
    )
    for number, prompt in enumerate(PROMPTS):
        driver.add(f"r{number}", prompt, 12)
    driver.run()
    calls = driver.executor.calls
    assert all(
        calls[i + 1] == ("sample", n) for i, (name, n) in enumerate(calls) if name == "launch"
    )
    launched, collected = positions(calls, "launch"), positions(calls, "collect")
    overlapped = [step for step in launched if launched[step] < collected.get(step - 1, -1)]
    assert len(overlapped) > len(launched) // 2


def test_a_request_ends_where_its_grammar_does() -> None:
    driver = SchedulerDriver.make(
        max_in_flight=2, make_constraint=lambda setup: Judge(PROMPTS[1], setup, ends_after=5)
    )
    driver.add("r0", PROMPTS[1], 12)
    driver.run()
    expected = expected_output(PROMPTS[1], 12, stands=standing_tokens)
    output, finish = driver.outputs["r0"], driver.finishes["r0"]
    assert 5 <= len(output) < 12
    assert output == expected[: len(output)]
    assert (finish.reason, finish.matched) == (FinishReason.STOP, None)


def test_a_constraint_that_fails_ends_its_request_before_anything_of_it_is_told() -> None:
    class Broken(Judge):
        def fill_mask(self, words_W: Words) -> None:
            raise GrammarTooComplexError("the grammar is too complex here")

    driver = SchedulerDriver.make(make_constraint=lambda setup: Broken(PROMPTS[0], setup))
    driver.add("r0", PROMPTS[0], 12)
    driver.run()
    assert driver.outputs["r0"] == []
    assert driver.finishes["r0"].reason is FinishReason.ERROR
    assert driver.finishes["r0"].message == "the grammar is too complex here"


def test_rows_with_penalties_are_told_what_stands() -> None:
    def make(setup: RowSetup) -> Judge:
        return Judge(PROMPTS[int(setup.request_id[1:])], setup)

    driver = SchedulerDriver.make(make_constraint=make)
    for number, prompt in enumerate(PROMPTS):
        driver.add(f"r{number}", prompt, 24, sampling=SamplingParams(presence_penalty=1.0))
    driver.run()
    renewed = [setup for plan in driver.executor.plans for setup in plan.renewed_rows]
    assert renewed
    for setup in renewed:
        told = driver.outputs[setup.request_id]
        assert setup.output_token_ids == told[: len(setup.output_token_ids)]


@pytest.mark.parametrize("max_in_flight", [1, 2])
def test_a_stop_among_tokens_that_must_follow_ends_the_answer(max_in_flight: int) -> None:
    class Jumps(Judge):
        def take(self, token_id: int) -> Taken:
            return Taken([token_id, 40, 41, 42], num_forced=3)

    driver = SchedulerDriver.make(
        max_in_flight=max_in_flight, make_constraint=lambda setup: Jumps(PROMPTS[0], setup)
    )
    driver.add("r0", PROMPTS[0], 12, sampling=SamplingParams(stop_token_ids=(41,)))
    driver.run()
    finish = driver.finishes["r0"]
    assert driver.outputs["r0"][1:] == [40, 41]
    assert (finish.reason, finish.matched, finish.num_jumped_tokens) == (FinishReason.STOP, 41, 2)


def test_an_answer_that_ends_before_its_token_jumped_over_none() -> None:
    class Ends(Judge):
        def take(self, token_id: int) -> Taken:
            return Taken([], is_end=True, is_cut=True)

    driver = SchedulerDriver.make(make_constraint=lambda setup: Ends(PROMPTS[0], setup))
    driver.add("r0", PROMPTS[0], 12)
    driver.run()
    assert driver.outputs["r0"] == []
    assert driver.finishes["r0"].num_jumped_tokens == 0
