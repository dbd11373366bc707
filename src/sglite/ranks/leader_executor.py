"""Carries out plans with all ranks of an engine: tells the others, and does our own share.

    engine ──launch, sample──▶ LeaderExecutor ──┬─ messages ──▶ ranks 1..n: RankFollower
                                                └─ the same ──▶ our share

The order of messages is the order in which our own share works, so all ranks meet in the same
collectives. That takes a thread: all of it where the host computes, and where a device does what
waits for it. A rank that is lost ends the wait for a step at once, even while the thread hangs in a
collective.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sglite.errors import RankLostError
from sglite.executors.collecting_executor import CollectingExecutor
from sglite.executors.executor import Executor
from sglite.executors.threaded_executor import ThreadedExecutor
from sglite.ranks.channel import encode
from sglite.ranks.messages import Launch, Sample, StepMasks
from sglite.ranks.rank_follower import to_step_masks
from sglite.ranks.rank_team import RankTeam
from sglite.sampling.masks import TokenMasks
from sglite.scheduler.plan import StepPlan, StepResult

T = TypeVar("T")


@dataclass(slots=True)
class LeaderHandle:
    """A step that all ranks have begun."""

    step_id: int
    inner: Any


class LeaderExecutor:
    """Implements ``Executor`` over our own executor and the ``team`` of all other ranks.

    With ``is_late`` ours only enqueues work, for a device, and waits for it in ``collect`` alone.
    Where ``drawing_rank`` is not 0, that rank of a pipeline's last stage gets the masks, and tells
    us what it drew, at most ``drawn_within_s`` after our own part of a step.
    """

    def __init__(
        self,
        inner: Executor,
        team: RankTeam,
        *,
        is_late: bool = False,
        drawing_rank: int = 0,
        drawn_within_s: float = math.inf,
    ) -> None:
        self._inner: Any = CollectingExecutor(inner) if is_late else ThreadedExecutor(inner)
        self._team = team
        self._drawing_rank = drawing_rank
        self._drawn_within_s = drawn_within_s
        self._has_failed = False

    def launch(self, plan: StepPlan) -> LeaderHandle:
        """Begin a step on all ranks. Raises RankLostError."""
        self._send(Launch(plan))
        return LeaderHandle(plan.step_id, self._guarded(lambda: self._inner.launch(plan)))

    def sample(self, handle: LeaderHandle, masks: TokenMasks | None = None) -> None:
        """Draw, on this rank or another. Raises RankLostError."""
        travelling = None
        if masks is not None:
            travelling = to_step_masks(masks) if self._drawing_rank else StepMasks(masks.entries)
        self._send(Sample(handle.step_id, travelling))
        self._guarded(lambda: self._inner.sample(handle.inner, masks))

    def _send(self, message: Launch | Sample) -> None:
        self._team.links.check()
        try:
            self._team.sender.send(encode(message))
        except RankLostError:
            self._has_failed = True  # who takes no plan will not take a farewell either
            raise

    def collect(self, handle: LeaderHandle) -> StepResult:
        """Wait for the step. RankLostError, or why a rank failed, where it cannot end."""
        return self._guarded(lambda: self._collect(handle))

    def _collect(self, handle: LeaderHandle) -> StepResult:
        result = handle.inner.result
        assert result is not None, "a step is sampled before it is collected"
        self._team.links.wait(result)
        own: StepResult = self._inner.collect(handle.inner)
        return self._drawn(handle.step_id) if self._drawing_rank else own

    def _guarded(self, work: Callable[[], T]) -> T:
        """The result of ``work``, of which all ranks do their parts: it fails with all of them."""
        try:
            return self._team.links.guarded(work)
        except Exception:
            self._has_failed = True
            raise

    def _drawn(self, step_id: int) -> StepResult:
        """What the rank that draws made of the step."""
        drawn = self._team.links.result_of(self._drawing_rank, step_id)
        if not self._team.links.wait(drawn, self._drawn_within_s):
            raise RankLostError(
                f"the last stage has not told what it drew in step {step_id} after "
                f"{self._drawn_within_s:g} s (pp_size x dist_timeout_s)"
            )
        return drawn.result()

    def close(self) -> None:
        """End all ranks; our own thread is not waited for where it may hang."""
        if self._has_failed or self._team.links.loss is not None:
            self._team.kill()
            self._inner.abandon()
            return
        self._team.close()
        self._inner.close()
