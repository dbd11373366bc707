"""Carries out plans with a model whose whole step is one call into the compiled CPU kernels."""

from __future__ import annotations

import torch

from sglite.engine.torch_executor import StepHandle, TorchExecutor
from sglite.kvcache.kv_pool import KVPool
from sglite.models.replayed_decoder import ReplayedDecoder
from sglite.sampling import SampleOutput, SampleResult
from sglite.scheduler.plan import StepPlan


class ReplayExecutor(TorchExecutor):
    """As its base, with inputs as the host's arrays and the likeliest tokens from the same call.

    Rows that draw, are masked, adjusted or scored go through the sampler with the call's logits.
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
        self._last_tokens = self._rows.last_token_W.numpy()

    def _forward(self, plan: StepPlan) -> tuple[torch.Tensor, list[int]]:
        batch = self._rows.make_host_batch(plan)
        if self._check:
            batch.check(vocab_size=self._model.spec.vocab_size)
        return self._replayed(batch, self._kv_pool), batch.run_offsets.tolist()

    def _sample_rows(
        self, handle: StepHandle, rows: list[int], masks_RV: torch.Tensor | None
    ) -> SampleOutput | SampleResult:
        if masks_RV is not None or not self._sampling.batch(rows).is_plainly_greedy:
            return self._draw(handle.plan, self._replayed.sample_logits(), rows, masks_RV)
        token_ids = self._replayed.likeliest_tokens().tolist()
        invalid = frozenset(index for index, token in enumerate(token_ids) if token < 0)
        token_ids = [max(token, 0) for token in token_ids] if invalid else token_ids
        self._last_tokens[rows] = token_ids
        return SampleResult(token_ids, invalid)
