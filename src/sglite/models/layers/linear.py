"""Linear layers that are split over tensor-parallel ranks.

Weights are created empty on their device: the loader, or random initialisation, fills them.
"""

from __future__ import annotations

import torch
from torch import nn

from sglite.kernels.linear import linear
from sglite.models.layers.parallel import TensorParallel


def empty_parameter(*shape: int, dtype: torch.dtype, device: torch.device | str) -> nn.Parameter:
    """A parameter whose memory is not yet filled, without gradient."""
    return nn.Parameter(torch.empty(shape, dtype=dtype, device=device), requires_grad=False)


class Linear(nn.Module):
    """``y = x W^T + b`` with this rank's share of W; ``out_size``, ``in_size`` are that share.

    With ``deterministic`` a token's result does not depend on the batch (``kernels/linear``).
    """

    def __init__(
        self,
        out_size: int,
        in_size: int,
        *,
        bias: bool,
        dtype: torch.dtype,
        device: torch.device | str,
        deterministic: bool = False,
    ) -> None:
        super().__init__()
        self.deterministic = deterministic
        self.weight = empty_parameter(out_size, in_size, dtype=dtype, device=device)
        self.bias = empty_parameter(out_size, dtype=dtype, device=device) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[T, in] -> [T, out]``."""
        return linear(x, self.weight, self.bias, deterministic=self.deterministic)


class RowParallelLinear(Linear):
    """Split along the input: each rank adds a partial sum, the bias is added once, after it."""

    def __init__(
        self,
        out_size: int,
        in_size: int,
        *,
        bias: bool,
        tp: TensorParallel,
        dtype: torch.dtype,
        device: torch.device | str,
        deterministic: bool = False,
    ) -> None:
        super().__init__(
            out_size,
            in_size,
            bias=bias,
            dtype=dtype,
            device=device,
            deterministic=deterministic,
        )
        self.tp = tp

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[T, in of this rank] -> [T, out]``, summed over the ranks."""
        if self.tp.size == 1:
            return super().forward(x)
        return self.complete(self.tp.all_reduce(self.partial_sum(x)))

    def partial_sum(self, x: torch.Tensor) -> torch.Tensor:
        """What this rank adds to the result, ``[T, out]``."""
        return linear(x, self.weight, deterministic=self.deterministic)

    def complete(self, summed: torch.Tensor) -> torch.Tensor:
        """The result from the sum over the ranks."""
        return summed if self.bias is None else summed + self.bias
