"""The next tokens of rows without filters, by a race over their logits: signature and dispatch."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sglite.kernels import triton_support
from sglite.kernels.draw import reference


@dataclass(frozen=True, slots=True)
class Draws:
    """How the rows draw: float32 ``[R]`` temperatures (0: the likeliest), int32 ``[R, 2]`` keys of
    the noise (``noise``)."""

    temperature_R: torch.Tensor
    keys_R2: torch.Tensor


def draw(logits_RV: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Token ids, int64 ``[R]``; -1 where a logit is NaN or the largest is infinite.

    ``logits_RV`` is float32, bfloat16 or float16. A token wins with the largest
    ``logit / temperature - log(noise)``, which is a draw from the softmax.
    """
    if triton_support.runs_on(logits_RV):
        from sglite.kernels.draw import triton_draw

        return triton_draw.draw(logits_RV, draws)
    return reference.draw(logits_RV, draws)
