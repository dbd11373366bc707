"""The gated feed-forward block.

Shape legend: T tokens packed, E hidden. See docs/shapes.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sglite.kernels.gated import gated
from sglite.models.layers.linear import Linear, RowParallelLinear
from sglite.models.layers.parallel import ModelShare
from sglite.models.spec import DecoderSpec


class GatedMLP(nn.Module):
    """``down(act(gate(x)) * up(x))``; gate and up are one product.

    Where a rank's part of the inner dimension is padded, the weights there are zero.
    """

    def __init__(
        self,
        spec: DecoderSpec,
        *,
        share: ModelShare,
        dtype: torch.dtype,
        device: torch.device | str,
        deterministic: bool = False,
    ) -> None:
        super().__init__()
        tp, total = share.mlp, spec.intermediate_size
        count, hidden, bias = tp.padded_split(total), spec.hidden_size, spec.mlp_bias
        self.activation = spec.activation
        self.lanes = share.lanes
        self.gate_up = Linear(
            2 * count, hidden, bias=bias, dtype=dtype, device=device, deterministic=deterministic
        )
        self.down = RowParallelLinear(
            hidden, count, bias=bias, tp=tp, dtype=dtype, device=device, deterministic=deterministic
        )
        if len(tp.padded_range(total)) < count:
            for parameter in self.parameters():
                parameter.zero_()

    def forward(
        self, hidden_TE: torch.Tensor, lane_tokens: Sequence[int] | None = None
    ) -> torch.Tensor:
        """``[T, E] -> [T, E]``. ``lane_tokens`` has the T of all lanes, where there are such."""
        if self.lanes is None:
            result: torch.Tensor = self.down(gated(self.gate_up(hidden_TE), self.activation))
            return result
        assert lane_tokens is not None, "a batch of a lane says how many tokens the others have"
        all_TE = self.lanes.gather_tokens(hidden_TE, lane_tokens)
        partial_TE = self.down.partial_sum(gated(self.gate_up(all_TE), self.activation))
        return self.down.complete(self.lanes.scatter_sums(partial_TE, lane_tokens))
