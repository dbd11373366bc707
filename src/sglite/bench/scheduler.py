"""What the scheduler costs: all Python of plan and commit, without a model.

    python -m sglite.bench.scheduler        (or: sglite bench scheduler)

A stand-in executor answers at once, so what is measured is ``plan_step`` plus ``commit``. Requests
end and arrive all the time, so admission, insertion and eviction are part of it.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sglite.config import CacheOptions, SchedulerOptions
from sglite.errors import ConfigError
from sglite.kvcache.cache_manager import CacheManager
from sglite.kvcache.groups import KVGroup
from sglite.observability.events import EventStream
from sglite.request import Request, SamplingParams
from sglite.scheduler.plan import StepPlan, StepResult
from sglite.scheduler.scheduler import Scheduler

PAGE_SIZE = 16
PROMPT_TOKENS = 256
SHARED_TOKENS = 128
NUM_SHARED = 16


@dataclass(frozen=True, slots=True)
class Case:
    """A load to hold: so many running, so many waiting, under a policy."""

    policy: str
    num_running: int
    num_waiting: int


CASES = (
    Case("fcfs", 1, 0),
    Case("fcfs", 64, 1000),
    Case("fcfs", 256, 1000),
    Case("fcfs", 1024, 1000),
    Case("lpm", 1, 0),
    Case("lpm", 64, 1000),
    Case("lpm", 256, 1000),
    Case("lpm", 1024, 1000),
)


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds of one step's plan and commit."""

    median_us: float
    p90_us: float
    max_us: float


class Load:
    """A scheduler held at a constant load."""

    def __init__(self, case: Case, *, seed: int = 0) -> None:
        self._case = case
        self._random = random.Random(seed)
        self._number = 0
        self.num_finished = 0
        options = SchedulerOptions(
            max_running_requests=case.num_running,
            max_queued_requests=1 << 20,
            max_queued_tokens=1 << 40,
            schedule_policy=case.policy,  # type: ignore[arg-type]
            lpm_fallback_threshold=1 << 20,
            max_wait_s=1e9,
        )
        cache_options = CacheOptions(page_size=PAGE_SIZE)
        num_pages = (case.num_running + 64) * 48
        groups = (KVGroup("paged_full", (0,)),)
        cache = CacheManager(groups, [num_pages], cache_options, EventStream())
        self.scheduler = Scheduler(options, cache_options, cache, EventStream())
        self._shared = [self._ids(SHARED_TOKENS) for _ in range(NUM_SHARED)]
        self._fill()

    def run(self, num_steps: int) -> Timing:
        """Time ``num_steps`` steps after the load has settled."""
        for _ in range(40 + self._case.num_running // 8):
            self._step()
        gc.collect()
        gc.disable()
        times = sorted(self._step() for _ in range(num_steps))
        gc.enable()
        return Timing(
            statistics.median(times) * 1e6, times[int(0.9 * num_steps)] * 1e6, times[-1] * 1e6
        )

    def _step(self) -> float:
        start = time.perf_counter()
        plan = self.scheduler.plan_step(start)
        planned = time.perf_counter()
        result = self._answer(plan)
        answered = time.perf_counter()
        self.scheduler.commit(plan, result, answered)
        outputs = self.scheduler.take_outputs()
        end = time.perf_counter()
        for _ in outputs.finished:
            self.num_finished += 1
            self._arrive()
        return (planned - start) + (end - answered)

    def _answer(self, plan: StepPlan) -> StepResult:
        tokens = [self._random.randrange(1, 32000) for _ in plan.sample_runs]
        return StepResult(tokens, elapsed_s=0.01)

    def _fill(self) -> None:
        for _ in range(self._case.num_running + self._case.num_waiting):
            self._arrive()

    def _arrive(self) -> None:
        self._number += 1
        own = self._ids(PROMPT_TOKENS - SHARED_TOKENS)
        request = Request(
            request_id=f"r{self._number}",
            prompt_token_ids=self._random.choice(self._shared) + own,
            sampling=SamplingParams(temperature=0.0),
            eos_token_ids=frozenset({0}),
            max_new_tokens=self._random.randrange(64, 256),
            is_streamed=True,
        )
        self.scheduler.add(request, time.perf_counter())

    def _ids(self, count: int) -> list[int]:
        return [self._random.randrange(1, 32000) for _ in range(count)]


def main(
    argv: Sequence[str] | None = None,
    *,
    parser_class: type[argparse.ArgumentParser] = argparse.ArgumentParser,
) -> int:
    """Print the table of all cases; ConfigError where ``--steps`` is no number of steps."""
    parser = parser_class(prog="sglite bench scheduler", description="Cost of a step.")
    parser.add_argument("--steps", default="400", help="steps timed for each case (default 400)")
    steps = parser.parse_args(argv).steps
    if not steps.isdecimal() or int(steps) < 1:
        raise ConfigError(f"--steps: {steps!r} is not allowed; give an integer, at least 1")
    num_steps = int(steps)
    print(f"{'policy':8} {'running':>8} {'waiting':>8} {'median':>10} {'p90':>10} {'max':>10}")
    for case in CASES:
        timing = Load(case).run(num_steps)
        figures = (timing.median_us, timing.p90_us, timing.max_us)
        cells = " ".join(f"{figure:7.0f} us" for figure in figures)
        print(f"{case.policy:8} {case.num_running:8} {case.num_waiting:8} {cells}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
