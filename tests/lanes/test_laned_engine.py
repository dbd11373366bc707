from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from sglite.errors import CapacityError
from sglite.lanes.laned_engine import DeferredExecutor, LanedEngine, LaneStep
from sglite.request import FinishReason, OutputBatch, Request
from tests.fakes import EOS, expected_output
from tests.scheduler.harness import RecordingExecutor, SchedulerDriver, prompts_with_output

PROMPTS = prompts_with_output(6, ends=False, count=24)


@dataclass
class FakeRanks:
    """Carries out joint steps by one fake model for each lane, and notes which lanes had work."""

    executors: list[RecordingExecutor]
    rounds: list[list[int]] = field(default_factory=list)
    is_closed: bool = False

    def run(self, steps: Sequence[LaneStep | None]) -> None:
        assert len(steps) == len(self.executors), "every rank takes part in every step"
        self.rounds.append([0 if step is None else sum(step.plan.run_lengths) for step in steps])
        for step, executor in zip(steps, self.executors, strict=True):
            if step is not None:
                handle = executor.launch(step.plan)
                executor.sample(handle, step.masks)
                step.result = executor.collect(handle)

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Lanes:
    """A laned engine over fake ranks, and what it told."""

    drivers: list[SchedulerDriver]
    ranks: FakeRanks
    engine: LanedEngine
    told: OutputBatch = field(default_factory=OutputBatch)

    @classmethod
    def make(cls, count: int = 2, **options: object) -> Lanes:
        drivers = [SchedulerDriver.make(**options) for _ in range(count)]
        ranks = FakeRanks([driver.executor for driver in drivers])
        for driver in drivers:
            driver.engine.executor = DeferredExecutor()
        return cls(drivers, ranks, LanedEngine([driver.engine for driver in drivers], ranks))

    def add(self, request_id: str, prompt: Sequence[int], max_new_tokens: int = 6) -> None:
        request = Request(
            request_id=request_id,
            prompt_token_ids=list(prompt),
            max_new_tokens=max_new_tokens,
            eos_token_ids=frozenset({EOS}),
        )
        self.engine.add(request)

    def run(self) -> None:
        while self.engine.has_work:
            self.told.extend(self.engine.step())

    def tokens(self, request_id: str) -> list[int]:
        return [token for name, token in self.told.tokens if name == request_id]


def test_each_request_gets_what_it_would_get_alone():
    lanes = Lanes.make(3)
    for number, prompt in enumerate(PROMPTS):
        lanes.add(f"r{number}", prompt)
    lanes.run()
    for number, prompt in enumerate(PROMPTS):
        assert lanes.tokens(f"r{number}") == expected_output(prompt, 6)
    assert all(sum(tokens[lane] for tokens in lanes.ranks.rounds) for lane in range(3))
    assert lanes.engine.stats()["num_finished_requests"] == len(PROMPTS)
    assert lanes.engine.stats()["num_output_tokens"] == 6 * len(PROMPTS)


def test_random_aborts_and_small_pools_lose_nobody():
    rng = random.Random(5)
    lanes = Lanes.make(2, num_pages=12, max_running_requests=4)
    aborted = set()
    for number, prompt in enumerate(PROMPTS):
        lanes.add(f"r{number}", prompt)
        lanes.told.extend(lanes.engine.step())
        if rng.random() < 0.3:
            lanes.engine.abort(f"r{number}")
            aborted.add(f"r{number}")
    lanes.run()
    finished = {finish.request_id: finish.reason for finish in lanes.told.finished}
    assert len(lanes.told.finished) == len(finished) == len(PROMPTS)
    for number, prompt in enumerate(PROMPTS):
        name = f"r{number}"
        if name not in aborted:
            assert lanes.tokens(name) == expected_output(prompt, 6)
            assert finished[name] is FinishReason.LENGTH


def test_a_lane_without_work_takes_part_in_the_step():
    lanes = Lanes.make(2)
    lanes.add("r", PROMPTS[0])
    lanes.run()
    assert lanes.ranks.rounds[0] == [2, 0]
    assert lanes.ranks.rounds[1:] == [[1, 0]] * 5


def test_requests_go_where_least_is_to_be_computed():
    lanes = Lanes.make(2)
    prompt = list(range(1, 33))
    lanes.add("long", prompt)
    lanes.add("short", PROMPTS[0])
    assert ["long" in each.live for each in lanes.engine.schedulers] == [True, False]
    assert ["short" in each.live for each in lanes.engine.schedulers] == [False, True]
    lanes.run()
    lanes.add("again", [*prompt, 40])  # both are idle: the prefix is in lane 0
    assert ["again" in each.live for each in lanes.engine.schedulers] == [True, False]
    lanes.add("other", [50, 51, 52])
    assert ["other" in each.live for each in lanes.engine.schedulers] == [False, True]
    lanes.run()


def test_a_refused_request_is_nobodys():
    lanes = Lanes.make(2, max_running_requests=1, max_queued_requests=0)
    lanes.add("a", PROMPTS[0])
    lanes.add("b", PROMPTS[1])
    with pytest.raises(CapacityError):
        lanes.add("c", PROMPTS[2])
    assert not lanes.engine.abort("c")
    lanes.run()


def test_the_cache_of_every_lane_is_flushed_once_all_are_idle():
    lanes = Lanes.make(2)
    lanes.add("a", list(range(1, 20)))
    lanes.add("b", list(range(30, 50)))
    assert not lanes.engine.try_flush_cache()
    lanes.run()
    assert lanes.engine.stats()["cache_num_cached_tokens"] > 0
    assert lanes.engine.try_flush_cache()
    assert lanes.engine.stats()["cache_num_cached_tokens"] == 0


def test_pinned_prefixes_are_unpinned_where_they_are():
    lanes = Lanes.make(2)
    prompt = list(range(1, 20))
    request = Request(request_id="p", prompt_token_ids=prompt, max_new_tokens=0, pin_prefix=True)
    lanes.engine.add(request)
    lanes.run()
    assert lanes.engine.unpin("", prompt)
    assert not lanes.engine.unpin("", prompt)


def test_closing_ends_the_ranks():
    lanes = Lanes.make(2)
    lanes.add("a", PROMPTS[0])
    lanes.engine.step()
    lanes.engine.close()
    assert lanes.ranks.is_closed


def test_starting_over_forgets_counts_and_prefixes():
    lanes = Lanes.make(2)
    lanes.add("a", list(range(1, 20)))
    lanes.run()
    lanes.engine.start_over()
    stats = lanes.engine.stats()
    assert stats["num_finished_requests"] == stats["cache_num_cached_tokens"] == 0
