"""The loop: one step is four calls, and several may be open.

Synchronous with ``max_in_flight`` 1. With 2, step n+1 is planned and launched before step n is
collected: overlap is nothing but where the commit stands. Where a grammar must see the tokens of
step n first, step n+1 is sampled after that commit; its forward pass runs meanwhile. With a
pipeline as many steps are open as it has stages, each with other sequences.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from sglite.engine.collector import QuietCollector
from sglite.engine.output_processor import OutputProcessor
from sglite.executors.executor import Executor
from sglite.grammar.masks import PendingMasks
from sglite.request import OutputBatch, Request
from sglite.scheduler.invariants import check_scheduler
from sglite.scheduler.plan import StepPlan
from sglite.scheduler.scheduler import Scheduler

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class EngineCounters:
    """What the engine has done since its start; the numbers only grow."""

    num_steps: int = 0
    num_finished_requests: int = 0
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_output_tokens: int = 0
    num_retractions: int = 0

    def add(self, outputs: OutputBatch) -> None:
        """Count what a turn of the loop produced."""
        self.num_output_tokens += len(outputs.tokens)
        for finish in outputs.finished:
            self.num_finished_requests += 1
            self.num_prompt_tokens += finish.num_prompt_tokens
            self.num_cached_tokens += finish.num_cached_tokens
            self.num_retractions += finish.num_retractions


@dataclass(slots=True)
class OpenStep:
    """A launched step. ``is_sampled`` is False while its masks wait for a step before it."""

    plan: StepPlan
    handle: Any
    is_sampled: bool = False


@dataclass(slots=True)
class Engine:
    """Scheduler and executor, joined by the step. Belongs to one thread."""

    scheduler: Scheduler
    executor: Executor
    processor: OutputProcessor
    max_in_flight: int = 1
    check: bool = False
    clock: Callable[[], float] = time.monotonic
    counters: EngineCounters = field(default_factory=EngineCounters)
    _in_flight: deque[OpenStep] = field(default_factory=deque)
    _collector: QuietCollector = field(default_factory=QuietCollector)

    def add(self, request: Request) -> None:
        """Queue a request. Raises CapacityError where too many wait."""
        self.scheduler.add(request, self.clock())

    def abort(self, request_id: str) -> bool:
        """End a request in whatever state it is; False if it does not live."""
        return self.scheduler.abort(request_id, self.clock())

    @property
    def has_work(self) -> bool:
        """True while ``step`` has something to do."""
        return self.scheduler.has_work

    def step(self) -> OutputBatch:
        """Launch what can be launched, commit the oldest open step, return what is to tell."""
        while len(self._in_flight) < self.max_in_flight and self._is_all_sampled:
            plan = self.scheduler.plan_step(self.clock())
            if plan.is_empty:
                break
            self._launch(plan)
            self._collector.stepped()
        if self._in_flight:
            self._commit(self._in_flight.popleft())
        if not self._is_all_sampled and self.processor.can_mask(self._in_flight[-1].plan):
            self._sample(self._in_flight[-1], self.processor.begin_masks(self._in_flight[-1].plan))
        outputs = self.scheduler.take_outputs()
        self.counters.add(outputs)
        if self.check:
            check_scheduler(self.scheduler)
        elif not self.has_work:
            self._check_idle()
        if not self.has_work:
            self._collector.rest()
        return outputs

    @property
    def _is_all_sampled(self) -> bool:
        """True where the next step may be launched: what its runs continue from is known."""
        return not self._in_flight or self._in_flight[-1].is_sampled

    def _launch(self, plan: StepPlan) -> None:
        self.processor.observe(plan)
        can_mask = self.processor.can_mask(plan)
        pending = self.processor.begin_masks(plan) if plan.masked_runs and can_mask else None
        step = OpenStep(plan, self.executor.launch(plan))
        self._in_flight.append(step)
        if can_mask:
            self._sample(step, pending)

    def _sample(self, step: OpenStep, pending: PendingMasks | None) -> None:
        masks = None if pending is None else self.processor.take_masks(step.plan, pending)
        self.executor.sample(step.handle, masks)
        step.is_sampled = True
        self._end_failed()

    def _commit(self, step: OpenStep) -> None:
        result = self.processor.judge(step.plan, self.executor.collect(step.handle))
        self.scheduler.commit(step.plan, result, self.clock())
        self.counters.num_steps += 1
        self._end_failed()

    def _end_failed(self) -> None:
        for request_id, message in self.processor.take_failed().items():
            self.scheduler.fail(request_id, self.clock(), message)

    def _check_idle(self) -> None:
        """Idle, every page is free or in the tree; count them, and say so if one is missing."""
        for group, leaked in enumerate(self.scheduler.cache.count_leaked_pages()):
            if leaked:
                fields = {"group": group, "pages": leaked, "hint": "run with --check and report"}
                logger.error("kv_pages_leaked", extra={"fields": fields})

    def try_flush_cache(self) -> bool:
        """Forget every prefix that is not pinned; False, and nothing done, while requests live."""
        if self.scheduler.live or self.scheduler.num_open_steps:
            return False
        self.scheduler.cache.flush()
        return True

    def stats(self) -> dict[str, int]:
        """Counters and the present state, flat."""
        scheduler = self.scheduler
        return {
            "num_running_requests": len(scheduler.batch.running),
            "num_waiting_requests": len(scheduler.queue),
            **asdict(self.counters),
            **{f"cache_{name}": value for name, value in asdict(scheduler.cache.stats()).items()},
        }

    def close(self) -> None:
        """Forget what is in flight and stop the executor."""
        self._in_flight.clear()
        self._collector.rest()
        self.processor.close()
        self.executor.close()
