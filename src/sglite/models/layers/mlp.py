"""The gated feed-forward block."""

from __future__ import annotations

import torch
from torch import nn

from sglite.kernels.gated import gated
from sglite.models.layers.linear import Linear, RowParallelLinear
from sglite.models.layers.parallel import TensorParallel
from sglite.models.spec import DecoderSpec


class GatedMLP(nn.Module):
    """``down(act(gate(x)) * up(x))``; gate and up are one product."""

    def __init__(
        self,
        spec: DecoderSpec,
        *,
        tp: TensorParallel,
        dtype: torch.dtype,
        device: torch.device | str,
        deterministic: bool = False,
    ) -> None:
        super().__init__()
        count = tp.split(spec.intermediate_size, "intermediate_size")
        hidden, bias = spec.hidden_size, spec.mlp_bias
        self.activation = spec.activation
        self.gate_up = Linear(
            2 * count, hidden, bias=bias, dtype=dtype, device=device, deterministic=deterministic
        )
        self.down = RowParallelLinear(
            hidden, count, bias=bias, tp=tp, dtype=dtype, device=device, deterministic=deterministic
        )

    def forward(self, hidden_TE: torch.Tensor) -> torch.Tensor:
        """``[T, E] -> [T, E]``."""
        result: torch.Tensor = self.down(gated(self.gate_up(hidden_TE), self.activation))
        return result
