"""The next tokens of rows, by a race over their logits: signature and dispatch.

Inside a step's graph: nothing is read by the host, and what a row needs lies in arrays of the
device that its number indexes.

Shape legend: R rows of the step, V vocab, W rows of the executor.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sglite.kernels import triton_support
from sglite.kernels.draw import reference


@dataclass(frozen=True, slots=True)
class DrawParameters:
    """How every row of the executor draws.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | temperature_W | [W] | float32 | 0: the likeliest token, whatever else is there |
    | top_p_W | [W] | float32 | above 0; 1 or more filters nothing |
    | min_p_W | [W] | float32 | 0 to 1; 0 filters nothing |
    | seed_W | [W] | int64 | |
    | top_k_W | [W] | int64 | 1 or more; V or more filters nothing |
    """

    temperature_W: torch.Tensor
    top_p_W: torch.Tensor
    min_p_W: torch.Tensor
    seed_W: torch.Tensor
    top_k_W: torch.Tensor


def draw(
    logits_RV: torch.Tensor,
    rows_R: torch.Tensor,
    positions_R: torch.Tensor,
    parameters: DrawParameters,
    *,
    last_token_W: torch.Tensor,
    token_ids_R: torch.Tensor,
) -> None:
    """Write the rows' next tokens to ``token_ids_R`` and, 0 for -1, to ``last_token_W``.

    | tensor | shape | dtype | meaning |
    |---|---|---|---|
    | logits_RV | [R, V] | float32, bfloat16, float16 | rows may lie apart |
    | rows_R | [R] | int32 or int64 | rows of the executor; one that pads may come repeatedly |
    | positions_R | [R] | int32 or int64 | tokens before the new one |
    | last_token_W | [W] | int64 | |
    | token_ids_R | [R] | int32 | -1: a logit is NaN, or the largest is infinite |

    The token with the largest ``weight / noise`` is a draw (``noise``), ``weight`` the exponential
    of ``(logit - largest) / temperature``. Those race that the filters leave (``ranking``). A row's
    token depends on nothing but its logits, parameters and position. Implementations differ where
    the last bits of a float decide: which of two weights or scores is larger, and whether the sum
    of the weights before a token reaches top-p.
    """
    if triton_support.runs_on(logits_RV):
        from sglite.kernels.draw import triton_draw

        run = triton_draw.draw
    else:
        run = reference.draw
    run(
        logits_RV,
        rows_R,
        positions_R,
        parameters,
        last_token_W=last_token_W,
        token_ids_R=token_ids_R,
    )
