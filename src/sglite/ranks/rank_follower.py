"""What a rank does all day: it carries out what the leader says, in that order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sglite.errors import RankLostError
from sglite.executors.executor import Executor
from sglite.ranks.channel import PlanReceiver, decode_to_rank
from sglite.ranks.messages import Close, Launch, Proceed, Sample, StepDone, StepMasks
from sglite.sampling.masks import TokenMasks


class RankFollower:
    """Carries out plans with ``executor``.

    A rank that draws gives its results to ``tell``; the others have none. They collect a step as
    well, as that ends it, but leave so many sampled ones open behind the last as the leader may:
    ``num_open``.
    """

    def __init__(
        self,
        executor: Executor,
        receiver: PlanReceiver,
        *,
        tell: Callable[[StepDone], None] | None = None,
        num_open: int = 0,
    ) -> None:
        self._executor = executor
        self._receiver = receiver
        self._tell = tell
        self._num_open = num_open
        self._handles: dict[int, Any] = {}
        self._sampled: deque[Any] = deque()

    def run(self) -> None:
        """Until the leader closes. EOFError where it is gone instead, else what went wrong."""
        while True:
            message = decode_to_rank(self._receiver.receive())
            if isinstance(message, Close):
                self._executor.close()  # the others may still need our part of open steps
                return
            if isinstance(message, Launch):
                plan = message.plan
                self._handles[plan.step_id] = self._executor.launch(plan)
            elif isinstance(message, Sample):
                self._sample(message)
            elif isinstance(message, Proceed):
                raise RankLostError(f"the leader goes back to {message.phase!r}")
            else:
                raise RankLostError("the leader sent a joint step to a rank that is no lane")

    def _sample(self, message: Sample) -> None:
        handle = self._handles.pop(message.step_id, None)
        if handle is None:
            raise RankLostError(f"step {message.step_id} is sampled but was not launched")
        masks = message.masks
        self._executor.sample(handle, None if masks is None else to_token_masks(masks))
        if self._tell is not None:
            self._tell(StepDone(message.step_id, self._executor.collect(handle)))
            return
        self._sampled.append(handle)
        if len(self._sampled) > self._num_open:
            self._executor.collect(self._sampled.popleft())


def to_step_masks(masks: TokenMasks) -> StepMasks:
    """``masks`` as they travel."""
    return StepMasks(masks.entries, masks.words_MW.numpy().tobytes())


def to_token_masks(masks: StepMasks) -> TokenMasks:
    """The masks that have travelled."""
    words = np.frombuffer(bytearray(masks.words), dtype=np.int32)
    num_masks = len(masks.entries)
    width = len(words) // num_masks if num_masks else 0
    return TokenMasks(masks.entries, torch.from_numpy(words).view(num_masks, width))
