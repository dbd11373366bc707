"""Root-mean-square norm, with or without the addition before it: signature and dispatch.

The sum of the residual stream and a block's output is rounded to the stream's type, the normalised
number to the result's before the weight is multiplied, as transformers does. On a GPU a row is the
work of one program that knows no other row, so its bits do not depend on the batch.

Shape legend: T tokens packed, E hidden.
"""

from __future__ import annotations

import torch

from sglite.kernels import triton_support
from sglite.kernels.rms_norm import reference


def rms_norm(x_TE: torch.Tensor, weight_E: torch.Tensor, eps: float) -> torch.Tensor:
    """``x / rms(x) * weight`` over the last dimension, computed in float32: ``[T, E]``, as x."""
    if triton_support.runs_on(x_TE):
        from sglite.kernels.rms_norm import triton_rms_norm

        return triton_rms_norm.rms_norm(x_TE, weight_E, eps)
    return reference.rms_norm(x_TE, weight_E, eps)


def add_rms_norm(
    hidden_TE: torch.Tensor, delta_TE: torch.Tensor, weight_E: torch.Tensor, eps: float
) -> torch.Tensor:
    """Add ``delta_TE`` to the residual stream ``hidden_TE`` in place; its norm."""
    if triton_support.runs_on(hidden_TE):
        from sglite.kernels.rms_norm import triton_rms_norm

        return triton_rms_norm.add_rms_norm(hidden_TE, delta_TE, weight_E, eps)
    return reference.add_rms_norm(hidden_TE, delta_TE, weight_E, eps)
