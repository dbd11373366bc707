"""The gated activation in torch: the specification."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from sglite.kernels.gated import Activation

FUNCTIONS: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_pytorch_tanh": partial(functional.gelu, approximate="tanh"),
}


def gated(gate_up_TF2: torch.Tensor, activation: Activation) -> torch.Tensor:
    """See the package."""
    gate_TF, up_TF = gate_up_TF2.chunk(2, dim=-1)
    return FUNCTIONS[activation](gate_TF).mul_(up_TF)
