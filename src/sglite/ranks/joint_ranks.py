"""Joint steps of DP-attention on all ranks of an engine: each computes its lane's part.

    LanedEngine ──plans of all lanes──▶ JointRanks ──┬─ JointStep ──▶ ranks 1..n: LaneFollower
                                                     └─ the same ──▶ lane 0, in a thread of its own

Every rank that had a plan tells its result. A rank that is lost ends the wait at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from sglite.errors import RankLostError
from sglite.executors.lane_executor import LaneExecutor
from sglite.lanes.laned_engine import LaneStep
from sglite.ranks.channel import PlanReceiver, decode_to_rank, encode
from sglite.ranks.messages import Close, JointStep, StepDone
from sglite.ranks.rank_follower import to_step_masks, to_token_masks
from sglite.ranks.rank_team import RankTeam
from sglite.sampling.masks import TokenMasks
from sglite.scheduler.plan import StepPlan, StepResult


class JointRanks:
    """Implements ``JointExecutor``: lane 0 is ``own``, the others are those of the ``team``."""

    def __init__(self, own: LaneExecutor, team: RankTeam, *, num_groups: int) -> None:
        self._own = own
        self._team = team
        self._num_groups = num_groups
        self._num_steps = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lane")
        self._has_failed = False

    def run(self, steps: Sequence[LaneStep | None]) -> None:
        """Compute the step and fill the results. RankLostError, or why a rank failed."""
        self._num_steps += 1
        idle = StepPlan(0, self._num_groups)
        plans = [idle if step is None else step.plan for step in steps]
        masks = {
            lane: to_step_masks(step.masks)
            for lane, step in enumerate(steps)
            if lane and step is not None and step.masks is not None
        }
        own_masks = None if steps[0] is None else steps[0].masks
        message = JointStep(self._num_steps, plans, masks)
        try:
            self._team.links.guarded(lambda: self._run(message, own_masks, steps))
        except Exception:
            self._has_failed = True
            raise

    def _run(
        self, message: JointStep, own_masks: TokenMasks | None, steps: Sequence[LaneStep | None]
    ) -> None:
        links = self._team.links
        links.check()
        self._team.sender.send(encode(message))
        own = self._thread.submit(self._own.run, message.plans, own_masks)
        links.wait(own)  # also without a plan of our own: every rank is in every step
        for lane, step in enumerate(steps):
            if step is not None:
                step.result = own.result() if lane == 0 else self._result(lane)

    def _result(self, lane: int) -> StepResult:
        result = self._team.links.result_of(lane, self._num_steps)
        self._team.links.wait(result)
        return result.result()

    def close(self) -> None:
        """End all ranks; our own thread is not waited for where it may hang."""
        if self._has_failed or self._team.links.loss is not None:
            self._team.kill()
            self._thread.shutdown(wait=False, cancel_futures=True)
            return
        self._team.close()
        self._thread.shutdown(wait=True)
        self._own.close()


class LaneFollower:
    """What the rank of one lane does all day: joint steps, in the order in which they come."""

    def __init__(
        self, executor: LaneExecutor, receiver: PlanReceiver, *, lane: int,
        tell: Callable[[StepDone], None],
    ) -> None:  # fmt: skip
        self._executor = executor
        self._receiver = receiver
        self._lane = lane
        self._tell = tell

    def run(self) -> None:
        """Until the leader closes. EOFError where it is gone instead, else what went wrong."""
        while True:
            message = decode_to_rank(self._receiver.receive())
            if isinstance(message, Close):
                return
            if not isinstance(message, JointStep):
                raise RankLostError(f"the leader sent a {type(message).__name__} to a lane")
            masks = message.masks.get(self._lane)
            result = self._executor.run(
                message.plans, None if masks is None else to_token_masks(masks)
            )
            if result is not None:
                self._tell(StepDone(message.step_id, result))
