"""Root-mean-square normalisation."""

from __future__ import annotations

import torch
from torch import nn

from sglite.kernels.rms_norm import add_rms_norm, rms_norm
from sglite.models.layers.linear import empty_parameter


class RMSNorm(nn.Module):
    """``x / rms(x) * weight`` over the last dimension, computed in float32."""

    def __init__(
        self, size: int, *, eps: float, dtype: torch.dtype, device: torch.device | str
    ) -> None:
        super().__init__()
        self.eps = eps
        self.weight = empty_parameter(size, dtype=dtype, device=device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape and dtype; rounded to the dtype before the weight, as transformers does."""
        return rms_norm(x, self.weight, self.eps)

    def after_adding(self, delta_TE: torch.Tensor, hidden_TE: torch.Tensor) -> torch.Tensor:
        """Add ``delta_TE`` to the residual stream ``hidden_TE``, in place; the norm of that."""
        return add_rms_norm(hidden_TE, delta_TE, self.weight, self.eps)
