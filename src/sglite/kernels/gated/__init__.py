"""The activation of a gated feed-forward block: signature and dispatch."""

from __future__ import annotations

from typing import Literal

import torch

from sglite.kernels import triton_support
from sglite.kernels.gated import reference

Activation = Literal["silu", "gelu", "gelu_pytorch_tanh"]


def gated(gate_up_TF2: torch.Tensor, activation: Activation) -> torch.Tensor:
    """``act(gate) * up``: ``[T, 2 F] -> [T, F]``, gate in the first half of each row.

    The activation is computed in float32 and rounded to the type of the input before it is
    multiplied, as torch does. No number depends on another row. The input may be overwritten.
    """
    if triton_support.runs_on(gate_up_TF2):
        from sglite.kernels.gated import triton_gated

        return triton_gated.gated(gate_up_TF2, activation)
    return reference.gated(gate_up_TF2, activation)
