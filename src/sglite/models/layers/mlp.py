"""The gated feed-forward block."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from sglite.models.layers.linear import Linear, RowParallelLinear
from sglite.models.layers.parallel import TensorParallel
from sglite.models.spec import Activation, DecoderSpec

_FUNCTIONS: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_pytorch_tanh": partial(functional.gelu, approximate="tanh"),
}


class GatedMLP(nn.Module):
    """``down(act(gate(x)) * up(x))``; gate and up are one product."""

    def __init__(
        self,
        spec: DecoderSpec,
        *,
        tp: TensorParallel,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        super().__init__()
        count = tp.split(spec.intermediate_size, "intermediate_size")
        hidden, bias = spec.hidden_size, spec.mlp_bias
        self.activation = _FUNCTIONS[spec.activation]
        self.gate_up = Linear(2 * count, hidden, bias=bias, dtype=dtype, device=device)
        self.down = RowParallelLinear(hidden, count, bias=bias, tp=tp, dtype=dtype, device=device)

    def forward(self, hidden_TE: torch.Tensor) -> torch.Tensor:
        """``[T, E] -> [T, E]``."""
        gate_TF, up_TF = self.gate_up(hidden_TE).chunk(2, dim=-1)
        result: torch.Tensor = self.down(self.activation(gate_TF).mul_(up_TF))
        return result
