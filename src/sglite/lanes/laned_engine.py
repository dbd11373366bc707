"""Several engines in step, one for each rank of one model: DP-attention.

    lane 0   scheduler, cache, rows ── plan 0 ──┐
    lane 1   scheduler, cache, rows ── plan 1 ──┼─▶ one joint step of all ranks ─▶ results by lane
    lane 2   nothing to do           (empty) ───┘

Attention and KV are each lane's own, the MLPs are computed by all ranks for the tokens of all
lanes, so every rank takes part in every step. One thread plans for all lanes: token counts need no
exchange, and nobody has to be woken (ADR 0019).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sglite.engine.engine import Engine
from sglite.errors import CapacityError
from sglite.request import OutputBatch, Request
from sglite.sampling.masks import TokenMasks
from sglite.scheduler.plan import StepPlan, StepResult
from sglite.scheduler.scheduler import Scheduler


@dataclass(slots=True)
class LaneStep:
    """What one lane wants of a joint step; ``result`` is filled by the executor."""

    plan: StepPlan
    masks: TokenMasks | None = None
    result: StepResult | None = None


class JointExecutor(Protocol):
    """Carries out one step of all lanes together."""

    def run(self, steps: Sequence[LaneStep | None]) -> None:
        """Compute the step and fill the results; None is a lane with nothing of its own to do."""

    def close(self) -> None:
        """Give up ranks and memory."""


@dataclass(slots=True)
class DeferredExecutor:
    """The contract of ``Executor`` for one lane: it keeps what the joint step will carry out."""

    step: LaneStep | None = None

    def launch(self, plan: StepPlan) -> LaneStep:
        """Keep the plan for the joint step."""
        assert self.step is None, "a lane has one step open"
        self.step = LaneStep(plan)
        return self.step

    def sample(self, handle: LaneStep, masks: TokenMasks | None = None) -> None:
        """Keep the masks for the joint step."""
        handle.masks = masks

    def collect(self, handle: LaneStep) -> StepResult:
        """What the joint step gave this lane."""
        assert handle.result is not None, "the joint step comes before"
        return handle.result

    def close(self) -> None:
        """The ranks belong to the joint executor."""


@dataclass(slots=True)
class LanedEngine:
    """The face of ``Engine`` over ``lanes``, whose executors are DeferredExecutors."""

    lanes: list[Engine]
    joint: JointExecutor
    clock: Callable[[], float] = field(init=False)
    _lane_of: dict[str, Engine] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = self.lanes[0].clock

    @property
    def schedulers(self) -> list[Scheduler]:
        """Those of the lanes."""
        return [lane.scheduler for lane in self.lanes]

    def add(self, request: Request) -> None:
        """Queue a request in the lane that has least to compute with it.

        Raises CapacityError where all lanes are full.
        """
        lanes = sorted(self.lanes, key=lambda each: _work_with(each.scheduler, request))
        for lane in lanes:
            try:
                lane.add(request)
            except CapacityError:
                if lane is lanes[-1]:
                    raise
            else:
                self._lane_of[request.request_id] = lane
                return

    def abort(self, request_id: str) -> bool:
        """End a request in whatever state it is; False if it does not live."""
        lane = self._lane_of.get(request_id)
        return lane is not None and lane.abort(request_id)

    @property
    def has_work(self) -> bool:
        """True while ``step`` has something to do."""
        return any(lane.has_work for lane in self.lanes)

    def step(self) -> OutputBatch:
        """Plan for every lane, carry out the joint step, commit it in every lane."""
        for lane in self.lanes:
            lane.launch_steps()
        executors = [lane.executor for lane in self.lanes]
        steps = [_take(each) for each in executors if isinstance(each, DeferredExecutor)]
        if any(steps):
            self.joint.run(steps)
        outputs = OutputBatch()
        for lane in self.lanes:
            outputs.extend(lane.finish_step())
        for finish in outputs.finished:
            self._lane_of.pop(finish.request_id, None)
        return outputs

    def try_flush_cache(self) -> bool:
        """Forget every prefix that is not pinned; False, and nothing done, while requests live."""
        if any(each.live or each.num_open_steps for each in self.schedulers):
            return False
        return all(lane.try_flush_cache() for lane in self.lanes)

    def start_over(self) -> None:
        """Forget prefixes and counts, as if nothing had been asked yet."""
        for lane in self.lanes:
            lane.start_over()

    def unpin(self, namespace: str, key_ids: list[int]) -> bool:
        """Let a pinned prefix be evicted again in every lane; False if it was pinned in none."""
        return sum(lane.unpin(namespace, key_ids) for lane in self.lanes) > 0

    def stats(self) -> dict[str, int]:
        """Counters and the present state, summed over the lanes."""
        each = [lane.stats() for lane in self.lanes]
        return {name: sum(stats[name] for stats in each) for name in each[0]}

    def close(self) -> None:
        """Forget what is in flight and stop the ranks."""
        for lane in self.lanes:
            lane.close()
        self.joint.close()


AnyEngine = Engine | LanedEngine
"""What fronts drive."""


def _work_with(scheduler: Scheduler, request: Request) -> int:
    """Tokens that a lane would have before it: what its requests still lack, and of the new one's
    prompt what is not cached there."""
    key_ids = list(request.key_ids or request.prompt_token_ids)
    match = scheduler.cache.match(request.namespace, key_ids, len(key_ids))
    open_tokens = sum(each.max_total - each.num_computed for each in scheduler.live.values())
    return open_tokens + len(key_ids) - match.num_tokens


def _take(executor: DeferredExecutor) -> LaneStep | None:
    step, executor.step = executor.step, None
    return step
