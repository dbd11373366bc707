"""Carries out plans with a model whose whole step is one call into the compiled CPU kernels."""

from __future__ import annotations

import torch

from sglite.executors.torch_executor import StepHandle, TorchExecutor
from sglite.kvcache.kv_pool import KVPool
from sglite.models.replayed_decoder import ReplayedDecoder
from sglite.sampling import SampleResult
from sglite.scheduler.plan import StepPlan


class ReplayExecutor(TorchExecutor):
    """As its base, with inputs as the host's arrays and the next tokens from the same call.

    Rows that are masked, adjusted or scored go through the sampler with the call's logits.
    """

    def __init__(
        self,
        model: ReplayedDecoder,
        kv_pool: KVPool,
        *,
        max_rows: int,
        max_tokens: int,
        check: bool = False,
    ) -> None:
        super().__init__(model, kv_pool, max_rows=max_rows, max_tokens=max_tokens, check=check)
        self._replayed = model

    def _forward(self, plan: StepPlan) -> tuple[torch.Tensor, list[int]]:
        batch = self._rows.make_host_batch(plan)
        if plan.sample_runs:
            rows = [plan.run_rows[run] for run in plan.sample_runs]
            draws = self._sampling.batch(rows).draws(_positions(plan))
            if draws is not None:
                batch.draw_floats, batch.draw_integers = draws
        if self._check:
            batch.check(vocab_size=self._model.spec.vocab_size)
        return self._replayed(batch, self._kv_pool), batch.run_offsets.tolist()

    def _sample_rows(
        self, handle: StepHandle, rows: list[int], masks_RV: torch.Tensor | None
    ) -> SampleResult:
        token_ids = self._replayed.next_tokens().tolist()
        logprobs = {}
        left = self._left_to_sampler(rows, masks_RV)
        if left:
            sampled = self._sample_left(handle.plan, left, rows, masks_RV)
            for i, index in enumerate(left):
                token_ids[index] = -1 if i in sampled.invalid else sampled.token_ids[i]
            logprobs = {left[i]: scores for i, scores in sampled.logprobs.items()}
        invalid = frozenset(index for index, token in enumerate(token_ids) if token < 0)
        token_ids = [max(token, 0) for token in token_ids] if invalid else token_ids
        self._rows.last_tokens[rows] = token_ids
        return SampleResult(token_ids, invalid, logprobs)

    def _left_to_sampler(self, rows: list[int], masks_RV: torch.Tensor | None) -> list[int]:
        """Indices of the rows whose next token did not come with the logits."""
        left = self._sampling.batch(rows).adjusted_or_scored
        if masks_RV is None:
            return left
        masked = (~masks_RV.all(-1)).nonzero()[:, 0].tolist()
        return sorted({*left, *masked})

    def _sample_left(
        self, plan: StepPlan, left: list[int], rows: list[int], masks_RV: torch.Tensor | None
    ) -> SampleResult:
        """What the sampler gives for some of the rows."""
        logits_RV, positions = self._replayed.sample_logits(), _positions(plan)
        if len(left) < len(rows):
            logits_RV = logits_RV[left]
            masks_RV = masks_RV if masks_RV is None else masks_RV[left]
        positions_R = torch.tensor([positions[index] for index in left], dtype=torch.int64)
        sampled_rows = [rows[index] for index in left]
        return self._sampler.sample(logits_RV, sampled_rows, positions_R, masks_RV).to_result()


def _positions(plan: StepPlan) -> list[int]:
    """The positions of the tokens that a plan samples."""
    return [plan.run_starts[run] + plan.run_lengths[run] for run in plan.sample_runs]
