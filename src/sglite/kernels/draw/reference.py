"""The race in torch: the specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sglite.kernels.draw.noise import exponential_noise

if TYPE_CHECKING:
    from sglite.kernels.draw import Draws


def draw(logits_RV: torch.Tensor, draws: Draws) -> torch.Tensor:
    """See the package."""
    logits_RV = logits_RV.float()
    token_ids_V = torch.arange(logits_RV.shape[1], dtype=torch.int32, device=logits_RV.device)
    is_greedy_R1 = (draws.temperature_R <= 0)[:, None]
    temperature_R1 = draws.temperature_R[:, None].masked_fill(is_greedy_R1, 1.0)
    noise_RV = exponential_noise(draws.keys_R2, token_ids_V)
    scores_RV = torch.where(is_greedy_R1, logits_RV, logits_RV / temperature_R1 - noise_RV.log())
    invalid_R = logits_RV.isnan().any(-1) | ~logits_RV.amax(-1).isfinite()
    return scores_RV.argmax(-1).masked_fill_(invalid_R, -1)
