"""What changes logits before they become probabilities, in its fixed order.

Presence and frequency penalties, logit bias, minimum length; then the repetition penalty; then
the mask of legal tokens. The penalties count output tokens only, as SGLang's do (transformers and
vLLM let the repetition penalty count the prompt too).

Shape legend: R rows, V vocab.
"""

from __future__ import annotations

import torch

from sglite.kernels.draw.ranking import rows_per_chunk
from sglite.sampling.batch import SamplingBatch
from sglite.sampling.counts import OutputCounts
from sglite.sampling.masks import RowMasks

_LARGEST = 3e38


def adjust_logits(
    logits_RV: torch.Tensor,
    batch: SamplingBatch,
    counts: OutputCounts,
    positions_R: torch.Tensor,
    *,
    masks: RowMasks | None,
) -> None:
    """Apply all of the above to fp32 logits, in place."""
    if batch.has_additive:
        _subtract_penalties(logits_RV, batch, counts)
    if batch.num_bias:
        index = (batch.bias_rows_B, batch.bias_ids_B)
        logits_RV.index_put_(index, batch.bias_B, accumulate=True)
    if batch.num_stops:
        _mask_early_stops(logits_RV, batch, positions_R)
    if batch.has_repetition:
        _scale_repeated(logits_RV, batch, counts)
    if masks is not None:
        masks.hide_illegal(logits_RV)


def _subtract_penalties(
    logits_RV: torch.Tensor, batch: SamplingBatch, counts: OutputCounts
) -> None:
    """``logits -= frequency * count + presence * (count > 0)``."""
    step = rows_per_chunk(logits_RV.shape[1], logits_RV.device)
    for index, part in batch.penalized.chunks(step):
        counted = counts.counts_SV[batch.slots[part]]
        penalty = batch.frequency_R[index][:, None] * counted
        penalty += batch.presence_R[index][:, None] * (counted > 0)
        logits_RV[index] -= penalty


def _mask_early_stops(
    logits_RV: torch.Tensor, batch: SamplingBatch, positions_R: torch.Tensor
) -> None:
    """No end of text before ``min_new_tokens``: the ids that would end it become -inf."""
    index = (batch.stop_rows_M, batch.stop_ids_M)
    is_early_M = positions_R[batch.stop_rows_M] < batch.stop_from_M
    logits_RV[index] = logits_RV[index].masked_fill(is_early_M, float("-inf"))


def _scale_repeated(logits_RV: torch.Tensor, batch: SamplingBatch, counts: OutputCounts) -> None:
    """Of tokens seen before: positive logits ``/ r``, negative ``* r``; never up to infinity."""
    step = rows_per_chunk(logits_RV.shape[1], logits_RV.device)
    for index, part in batch.penalized.chunks(step):
        piece = logits_RV[index]
        factor = batch.repetition_R[index][:, None]
        scaled = torch.where(piece > 0, piece / factor, piece * factor).clamp_(max=_LARGEST)
        is_repeated = counts.counts_SV[batch.slots[part]] > 0
        logits_RV[index] = torch.where(is_repeated, scaled, piece)
