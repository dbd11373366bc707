"""What a rank does all day: it carries out what the leader says, in that order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sglite.errors import RankLostError
from sglite.executors.executor import Executor
from sglite.ranks.channel import PlanReceiver, decode_to_rank
from sglite.ranks.messages import Close, LaneMasks, Launch, Proceed, Sample, StepDone
from sglite.sampling.masks import TokenMasks


class RankFollower:
    """Carries out the plans of ``lane`` with ``executor``.

    A rank that draws gives its results to ``tell``; the others have none.
    """

    def __init__(
        self,
        executor: Executor,
        receiver: PlanReceiver,
        *,
        lane: int = 0,
        tell: Callable[[StepDone], None] | None = None,
    ) -> None:
        self._executor = executor
        self._receiver = receiver
        self._lane = lane
        self._tell = tell
        self._handles: dict[int, Any] = {}

    def run(self) -> None:
        """Until the leader closes. EOFError where it is gone instead, else what went wrong."""
        while True:
            message = decode_to_rank(self._receiver.receive())
            if isinstance(message, Close):
                return
            if isinstance(message, Launch):
                plan = message.plan_of(self._lane)
                self._handles[plan.step_id] = self._executor.launch(plan)
            elif isinstance(message, Sample):
                self._sample(message)
            elif isinstance(message, Proceed):
                raise RankLostError(f"the leader goes back to {message.phase!r}")

    def _sample(self, message: Sample) -> None:
        handle = self._handles.pop(message.step_id, None)
        if handle is None:
            raise RankLostError(f"step {message.step_id} is sampled but was not launched")
        masks = message.masks.get(self._lane)
        self._executor.sample(handle, None if masks is None else _to_tensor(masks))
        if self._tell is not None:
            self._tell(StepDone(message.step_id, self._executor.collect(handle)))


def to_lane_masks(masks: TokenMasks) -> LaneMasks:
    """``masks`` as they travel."""
    return LaneMasks(masks.entries, masks.words_MW.numpy().tobytes())


def _to_tensor(masks: LaneMasks) -> TokenMasks:
    words = np.frombuffer(bytearray(masks.words), dtype=np.int32)
    return TokenMasks(masks.entries, torch.from_numpy(words).view(len(masks.entries), -1))
