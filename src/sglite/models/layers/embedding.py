"""The embedding and the head, split over ranks along the vocabulary."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from sglite.kernels.linear import linear
from sglite.models.layers.linear import empty_parameter
from sglite.models.layers.parallel import TensorParallel


class VocabEmbedding(nn.Module):
    """Rows of the embedding table for this rank's range of token ids; rows beyond it are zero."""

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        *,
        tp: TensorParallel,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        super().__init__()
        self.tp = tp
        self.num_ids = tp.padded_split(vocab_size)
        self.weight = empty_parameter(self.num_ids, hidden_size, dtype=dtype, device=device)
        if len(tp.padded_range(vocab_size)) < self.num_ids:
            self.weight.zero_()

    def forward(self, input_ids_T: torch.Tensor) -> torch.Tensor:
        """``[T] -> [T, E]``."""
        if self.tp.size == 1:
            return functional.embedding(input_ids_T, self.weight)
        local_T = input_ids_T - self.tp.rank * self.num_ids
        is_ours_T = (local_T >= 0) & (local_T < self.num_ids)
        hidden_TE = functional.embedding(local_T * is_ours_T, self.weight)
        return self.tp.all_reduce(hidden_TE * is_ours_T[:, None])


def vocab_logits(
    hidden_RE: torch.Tensor,
    weight_VE: torch.Tensor,
    tp: TensorParallel,
    *,
    vocab_size: int,
    widen: bool = True,
    deterministic: bool = False,
) -> torch.Tensor:
    """``[R, E] -> [R, V]`` in the weights' type, which is made float32 with ``widen``.

    At rank 0, without the padding of the ranks' shares; elsewhere this rank's part alone.
    """
    logits_RV = tp.gather(linear(hidden_RE, weight_VE, deterministic=deterministic))
    if logits_RV.shape[1] > vocab_size:
        logits_RV = logits_RV[:, :vocab_size].contiguous()
    return logits_RV.float() if widen else logits_RV
