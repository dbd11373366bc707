"""Self-attention of one layer: projections, norms and rotation around the paged kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from sglite.attention import attention
from sglite.kernels.rotary_store import HeadNorms, rotary_store
from sglite.models.layers.linear import Linear, RowParallelLinear
from sglite.models.layers.norm import RMSNorm
from sglite.models.layers.parallel import TensorParallel
from sglite.models.spec import DecoderSpec

if TYPE_CHECKING:
    from sglite.attention.parted import PartedAttention
    from sglite.executors.forward_batch import AttentionMetadata
    from sglite.kernels.rotary_store import Rotation
    from sglite.kvcache.kv_pool import KVLayer


class SelfAttention(nn.Module):
    """Grouped-query attention over the KV pool; q, k and v are one product.

    Three steps: ``project``, ``attend``, ``finish``. Only the second depends on the runs.
    """

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
        self.num_heads = tp.split(spec.num_attention_heads, "num_attention_heads")
        self.num_kv_heads = tp.kv_heads(spec.num_kv_heads)[1]
        self.head_dim = spec.head_dim
        self.scale = spec.attention_scale
        self.softcap = spec.attention_softcap
        hidden, dim = spec.hidden_size, spec.head_dim
        qkv_size = (self.num_heads + 2 * self.num_kv_heads) * dim
        self.qkv = Linear(
            qkv_size,
            hidden,
            bias=spec.qkv_bias,
            dtype=dtype,
            device=device,
            deterministic=deterministic,
        )
        self.output = RowParallelLinear(
            hidden,
            self.num_heads * dim,
            bias=spec.o_bias,
            tp=tp,
            dtype=dtype,
            device=device,
            deterministic=deterministic,
        )
        self.q_norm: RMSNorm | None = None
        self.k_norm: RMSNorm | None = None
        if spec.qk_norm:
            self.q_norm = RMSNorm(dim, eps=spec.rms_norm_eps, dtype=dtype, device=device)
            self.k_norm = RMSNorm(dim, eps=spec.rms_norm_eps, dtype=dtype, device=device)

    def project(
        self,
        hidden_TE: torch.Tensor,
        rotation: Rotation,
        kv_layer: KVLayer,
        out_slots_T: torch.Tensor,
    ) -> torch.Tensor:
        """Queries ``[T, N, D]``; the new tokens' K and V are in ``kv_layer`` then."""
        all_heads = self.num_heads + 2 * self.num_kv_heads
        qkv_THD = self.qkv(hidden_TE).view(hidden_TE.shape[0], all_heads, self.head_dim)
        norms = None
        if self.q_norm is not None and self.k_norm is not None:
            norms = HeadNorms(self.q_norm.weight, self.k_norm.weight, self.q_norm.eps)
        return rotary_store(qkv_THD, self.num_heads, rotation, kv_layer, out_slots_T, norms=norms)

    def attend(
        self,
        q_TND: torch.Tensor,
        metadata: AttentionMetadata | PartedAttention,
        kv_layer: KVLayer,
    ) -> torch.Tensor:
        """What the queries find in the cache, ``[T, N, D]``."""
        return attention(q_TND, metadata, kv_layer, scale=self.scale, softcap=self.softcap)

    def finish(self, attended_TND: torch.Tensor) -> torch.Tensor:
        """The output projection, ``[T, N, D] -> [T, E]``."""
        result: torch.Tensor = self.output(attended_TND.flatten(1))
        return result
