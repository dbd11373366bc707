"""The race in torch: the specification.

Shape legend: R rows of the step, V vocab, W rows of the executor, K candidate tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sglite.kernels.draw.noise import exponential_noise, row_keys
from sglite.kernels.draw.ranking import surviving_tokens

if TYPE_CHECKING:
    from sglite.kernels.draw import DrawParameters


def draw(
    logits_RV: torch.Tensor,
    rows_R: torch.Tensor,
    positions_R: torch.Tensor,
    parameters: DrawParameters,
    *,
    last_token_W: torch.Tensor,
    token_ids_R: torch.Tensor,
) -> None:
    """See the package."""
    logits_RV = logits_RV.float()
    rows_R = rows_R.long()
    peak_R1 = logits_RV.amax(-1, keepdim=True)
    temperature_R = parameters.temperature_W[rows_R]
    is_greedy_R = temperature_R <= 0
    tempered_RV = (logits_RV - peak_R1) / temperature_R.masked_fill(is_greedy_R, 1.0)[:, None]
    weights_RK, ids_RK = surviving_tokens(
        tempered_RV.softmax(-1),
        parameters.top_k_W[rows_R],
        parameters.top_p_W[rows_R],
        parameters.min_p_W[rows_R],
        max_top_k=logits_RV.shape[1],
    )
    keys_R2 = row_keys(parameters.seed_W[rows_R], positions_R.long())
    scores_RK = weights_RK / exponential_noise(keys_R2, ids_RK.to(torch.int32))
    drawn_R = ids_RK.gather(-1, scores_RK.argmax(-1, keepdim=True))[:, 0]
    tokens_R = torch.where(is_greedy_R, logits_RV.argmax(-1), drawn_R)
    is_invalid_R = ~peak_R1[:, 0].isfinite()
    token_ids_R.copy_(tokens_R.masked_fill(is_invalid_R, -1))
    last_token_W[rows_R] = tokens_R.masked_fill(is_invalid_R, 0)
