"""Carries out one lane's part of joint steps: DP-attention.

A joint step has a plan for every lane. Ours goes through our attention with our KV; the tokens of
all lanes go through the MLPs of all ranks. Without tokens of our own we still take part in those.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sglite.executors.torch_executor import TorchExecutor
from sglite.kvcache.kv_pool import KVPool
from sglite.models.decoder import Decoder
from sglite.sampling import TokenMasks
from sglite.scheduler.plan import StepPlan, StepResult


class LaneExecutor:
    """The rank of ``lane``: its share of the model, and the KV of its own requests."""

    def __init__(
        self,
        model: Decoder,
        kv_pool: KVPool,
        *,
        lane: int,
        max_rows: int,
        max_tokens: int,
        check: bool = False,
    ) -> None:
        self._model = model
        self._lane = lane
        self._own = _OwnRequests(
            model, kv_pool, max_rows=max_rows, max_tokens=max_tokens, check=check
        )

    def run(self, plans: Sequence[StepPlan], masks: TokenMasks | None) -> StepResult | None:
        """Compute the joint step of ``plans``, one for each lane; ``masks`` are for ours.

        None where ours is empty. RankLostError where another rank is lost.
        """
        counts, plan = [sum(each.run_lengths) for each in plans], plans[self._lane]
        if plan.is_empty:
            self._model.join_lanes(counts)
            return None
        self._own.lane_tokens = counts
        handle = self._own.launch(plan)
        self._own.sample(handle, masks)
        return self._own.collect(handle)

    def close(self) -> None:
        """Nothing to stop; memory goes with the object."""
        self._own.close()


class _OwnRequests(TorchExecutor):
    """The base's steps, whose batches know how many tokens every lane has."""

    lane_tokens: Sequence[int] = ()

    def _forward(self, plan: StepPlan) -> tuple[torch.Tensor, list[int]]:
        batch = self._rows.make_batch(plan)
        batch.lane_tokens = self.lane_tokens
        if self._check:
            batch.check(vocab_size=self._model.spec.vocab_size)
        return self._model(batch, self._kv_pool), batch.attention[0].run_offsets
