"""The product with a weight matrix in torch: the specification."""

from __future__ import annotations

import torch
from torch.nn import functional


def linear(
    x_TI: torch.Tensor, weight_OI: torch.Tensor, bias_O: torch.Tensor | None = None
) -> torch.Tensor:
    """See the package."""
    return functional.linear(x_TI, weight_OI, bias_O)
