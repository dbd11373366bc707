"""Carries out plans with a model whose whole step is one call into the compiled CPU kernels."""

from __future__ import annotations

import numpy as np
import torch

from sglite.executors.forward_batch import HostBatch, HostDraws
from sglite.executors.step_agreement import StepAgreement
from sglite.executors.torch_executor import StepHandle, TorchExecutor
from sglite.kvcache.kv_pool import KVPool
from sglite.models.replayed_decoder import ReplayedDecoder
from sglite.sampling import SampleOutput, SampleResult, TokenMasks
from sglite.scheduler.plan import StepPlan

PROTOCOL = 1
"""In the digest of ranks: one that computes with torch exchanges other sums than we do."""


class ReplayExecutor(TorchExecutor):
    """As its base, with inputs as the host's arrays and the next tokens from the same call.

    Rows with a mask draw in a second call, when that is there; rows that are adjusted or scored go
    through the sampler with the call's logits.
    """

    def __init__(
        self,
        model: ReplayedDecoder,
        kv_pool: KVPool,
        *,
        max_rows: int,
        max_tokens: int,
        check: bool = False,
        agreement: StepAgreement | None = None,
    ) -> None:
        super().__init__(
            model,
            kv_pool,
            max_rows=max_rows,
            max_tokens=max_tokens,
            check=check,
            agreement=agreement,
        )
        self._replayed = model
        if agreement is not None:
            agreement.include(PROTOCOL)

    def _make_batch(self, plan: StepPlan) -> HostBatch:
        batch = self._rows.make_host_batch(plan)
        if plan.sample_runs and self._is_drawing:
            later = {*self._waiting(plan), *self._left_to_sampler(plan)}
            entries = [entry for entry in range(len(plan.sample_runs)) if entry not in later]
            batch.draws = self._draws(plan, entries)
        return batch

    def _waiting(self, plan: StepPlan) -> list[int]:
        """Entries of ``sample_runs`` that are not drawn before their masks may be there."""
        masked = set(plan.masked_runs)
        return [entry for entry, run in enumerate(plan.sample_runs) if run in masked]

    def _left_to_sampler(self, plan: StepPlan) -> list[int]:
        """Entries of ``sample_runs`` that need more of their logits than a draw."""
        return self._sampling.batch(_rows(plan)).adjusted_or_scored

    def _draws(self, plan: StepPlan, entries: list[int]) -> HostDraws:
        """How some of the samples draw."""
        draws = HostDraws(np.array(entries, dtype=np.int32))
        parameters = self._sampling.batch(_rows(plan)).draws(_positions(plan))
        if parameters is not None:
            floats, integers = parameters
            draws.floats = floats.take(entries, axis=1)
            draws.integers = integers.take(entries, axis=1)
        return draws

    def _sample_rows(self, handle: StepHandle, masks: TokenMasks | None) -> SampleResult | None:
        if not self._is_drawing:  # our part of the logits was computed with the step
            return None
        plan, rows = handle.plan, _rows(handle.plan)
        left = self._left_to_sampler(plan)
        self._draw_late(plan, masks, set(left))
        token_ids = self._replayed.next_tokens().tolist()
        logprobs = {}
        if left:
            sampled = self._sample_left(plan, left, masks)
            for i, index in enumerate(left):
                token_ids[index] = -1 if i in sampled.invalid else sampled.token_ids[i]
            logprobs = {left[i]: scores for i, scores in sampled.logprobs.items()}
        invalid = frozenset(index for index, token in enumerate(token_ids) if token < 0)
        token_ids = [max(token, 0) for token in token_ids] if invalid else token_ids
        self._rows.last_tokens[rows] = token_ids
        return SampleResult(token_ids, invalid, logprobs)

    def _share(
        self,
        plan: StepPlan,
        agreement: StepAgreement,
        output: SampleOutput | SampleResult | None,
    ) -> None:
        assert output is None or isinstance(output, SampleResult), "the kernels draw on the host"
        drawn_R = None if output is None else torch.tensor(output.token_ids)
        self._rows.last_tokens[_rows(plan)] = agreement.share(plan, drawn_R).numpy()

    def _draw_late(self, plan: StepPlan, masks: TokenMasks | None, left: set[int]) -> None:
        """Draw the rows with masks, and those that waited for one that did not come."""
        masked = [] if masks is None else [entry for entry in masks.entries if entry not in left]
        free = [entry for entry in self._waiting(plan) if entry not in {*masked, *left}]
        if free:
            self._replayed.draw(self._draws(plan, free))
        if masked and masks is not None:
            draws = self._draws(plan, masked)
            draws.legal_words = masks.words_of(masked)
            self._replayed.draw(draws)

    def _sample_left(
        self, plan: StepPlan, left: list[int], masks: TokenMasks | None
    ) -> SampleResult:
        """What the sampler gives for some of the rows."""
        logits_RV, positions, rows = self._replayed.sample_logits(), _positions(plan), _rows(plan)
        if len(left) < len(rows):
            logits_RV = logits_RV[left]
            masks = None if masks is None else masks.select(left)
        positions_R = torch.tensor([positions[index] for index in left], dtype=torch.int64)
        sampled_rows = [rows[index] for index in left]
        return self._sampler.sample(logits_RV, sampled_rows, positions_R, masks).to_result()


def _rows(plan: StepPlan) -> list[int]:
    """The rows that a plan samples."""
    return [plan.run_rows[run] for run in plan.sample_runs]


def _positions(plan: StepPlan) -> list[int]:
    """The positions of the tokens that a plan samples."""
    return [plan.run_starts[run] + plan.run_lengths[run] for run in plan.sample_runs]
