"""Products with a weight matrix: signature and dispatch."""

from __future__ import annotations

import torch

from sglite.kernels import triton_support
from sglite.kernels.linear import reference

MAX_VECTORS = 4
"""Rows up to which our kernel is chosen on a GPU: so few take no longer than reading the weight."""


def linear(
    x_TI: torch.Tensor,
    weight_OI: torch.Tensor,
    bias_O: torch.Tensor | None = None,
    *,
    deterministic: bool = False,
) -> torch.Tensor:
    """``x W^T + b``: ``[T, I] -> [T, O]``, added up in float32 or finer and rounded to x's type.

    | tensor | shape | dtype |
    |---|---|---|
    | x_TI | [T, I], rows may lie apart | float32, bfloat16 or float16 |
    | weight_OI | [O, I], rows may lie apart | as x |
    | bias_O | [O] | as x |

    With ``deterministic`` on a GPU, the bits of a row do not depend on the other rows, nor on how
    many there are. That costs speed: neither the kernel for few rows nor the library's are used.
    """
    if triton_support.runs_on(x_TI):
        from sglite.kernels.linear import triton_linear

        if deterministic:
            return triton_linear.multiply_invariantly(x_TI, weight_OI, bias_O)
        if x_TI.shape[0] <= MAX_VECTORS:
            return triton_linear.multiply_vectors(x_TI, weight_OI, bias_O)
    return reference.linear(x_TI, weight_OI, bias_O)
