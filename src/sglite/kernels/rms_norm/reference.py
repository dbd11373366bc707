"""Root-mean-square norm in torch: the specification."""

from __future__ import annotations

import torch


def rms_norm(x_TE: torch.Tensor, weight_E: torch.Tensor, eps: float) -> torch.Tensor:
    """See the package."""
    if x_TE.dtype == torch.float32:
        return torch.rms_norm(x_TE, weight_E.shape, weight_E, eps)
    return torch.rms_norm(x_TE.float(), weight_E.shape, None, eps).to(x_TE.dtype) * weight_E


def add_rms_norm(
    hidden_TE: torch.Tensor, delta_TE: torch.Tensor, weight_E: torch.Tensor, eps: float
) -> torch.Tensor:
    """See the package."""
    return rms_norm(hidden_TE.add_(delta_TE), weight_E, eps)
