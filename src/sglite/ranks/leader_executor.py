"""Carries out plans with all ranks of an engine: tells the others, and does our own share.

    engine ──launch, sample──▶ LeaderExecutor ──┬─ messages ──▶ ranks 1..n: RankFollower
                                                └─ the same ──▶ our share, in a thread of its own

The order of messages is the order in which our own thread works, so all ranks meet in the same
collectives. A rank that is lost ends the wait for a step at once, even while our thread hangs in
one.
"""

from __future__ import annotations

from concurrent.futures import wait
from dataclasses import dataclass

from sglite.executors.executor import Executor
from sglite.executors.threaded_executor import ThreadedExecutor, ThreadedHandle
from sglite.ranks.channel import encode
from sglite.ranks.messages import Launch, Sample
from sglite.ranks.rank_team import RankTeam
from sglite.sampling.masks import TokenMasks
from sglite.scheduler.plan import StepPlan, StepResult

LOOK_S = 0.1
"""How often a rank's loss is looked for while a step is waited for."""


@dataclass(slots=True)
class LeaderHandle:
    """A step that all ranks have begun."""

    step_id: int
    inner: ThreadedHandle


class LeaderExecutor:
    """Implements ``Executor`` over our own executor and the ``team`` of all other ranks."""

    def __init__(self, inner: Executor, team: RankTeam) -> None:
        self._inner = ThreadedExecutor(inner)
        self._team = team
        self._has_failed = False

    def launch(self, plan: StepPlan) -> LeaderHandle:
        """Begin a step on all ranks. Raises RankLostError."""
        self._send(Launch([plan]))
        return LeaderHandle(plan.step_id, self._inner.launch(plan))

    def sample(self, handle: LeaderHandle, masks: TokenMasks | None = None) -> None:
        """Draw on this rank, with the others' help. Raises RankLostError."""
        self._send(Sample(handle.step_id))
        self._inner.sample(handle.inner, masks)

    def _send(self, message: Launch | Sample) -> None:
        self._team.links.check()
        self._team.sender.send(encode(message))

    def collect(self, handle: LeaderHandle) -> StepResult:
        """Wait for the step. RankLostError, or why a rank failed, where it cannot end."""
        result = handle.inner.result
        assert result is not None, "a step is sampled before it is collected"
        try:
            while not wait([result], timeout=LOOK_S).done:
                self._team.links.check()
            return self._inner.collect(handle.inner)
        except Exception as error:
            self._has_failed = True
            # The others' end may be the cause of ours, and they know more of it.
            cause = self._team.links.cause_of(error)
            if cause is error:
                raise
            raise cause from error

    def close(self) -> None:
        """End all ranks; our own thread is not waited for where it may hang."""
        if self._has_failed or self._team.links.loss is not None:
            self._team.kill()
            self._inner.abandon()
            return
        self._team.close()
        self._inner.close()
