"""Root-mean-square normalisation."""

from __future__ import annotations

import torch
from torch import nn

from sglite.models.layers.linear import empty_parameter


class RMSNorm(nn.Module):
    """``x / rms(x) * weight`` over the last dimension, computed in float32."""

    def __init__(
        self, size: int, *, eps: float, dtype: torch.dtype, device: torch.device | str
    ) -> None:
        super().__init__()
        self.eps = eps
        self.shape = (size,)
        self.weight = empty_parameter(size, dtype=dtype, device=device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape and dtype; rounded to the dtype before the weight, as transformers does."""
        if x.dtype == torch.float32:
            return torch.rms_norm(x, self.shape, self.weight, self.eps)
        return torch.rms_norm(x.float(), self.shape, None, self.eps).to(x.dtype) * self.weight
