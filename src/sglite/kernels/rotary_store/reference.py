"""Head norms, rotation and the way into the KV pool in torch: the specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sglite.kernels.kv_store import store_kv
from sglite.kernels.rms_norm.reference import rms_norm

if TYPE_CHECKING:
    from sglite.kernels.rotary_store import HeadNorms, Rotation
    from sglite.kvcache.kv_pool import KVLayer


def rotary_store(
    qkv_THD: torch.Tensor,
    num_heads: int,
    rotation: Rotation,
    kv_layer: KVLayer,
    out_slots_T: torch.Tensor,
    *,
    norms: HeadNorms | None = None,
) -> torch.Tensor:
    """See the package."""
    num_kv_heads = (qkv_THD.shape[1] - num_heads) // 2
    q_TND, k_TKD, v_TKD = qkv_THD.split((num_heads, num_kv_heads, num_kv_heads), dim=1)
    if norms is not None:
        q_TND = rms_norm(q_TND, norms.q_D, norms.eps)
        k_TKD = rms_norm(k_TKD, norms.k_D, norms.eps)
    angles_T1D = rotation.cos_sin_PD.index_select(0, rotation.rows_T)[:, None]
    store_kv(rotate(k_TKD, angles_T1D), v_TKD, kv_layer, out_slots_T)
    return rotate(q_TND, angles_T1D)


def rotate(x_THD: torch.Tensor, angles_T1D: torch.Tensor) -> torch.Tensor:
    """Turn each pair (d, d + D/2) of every head: ``[T, H, D]``, new."""
    cos_T1D, sin_T1D = angles_T1D.chunk(2, dim=-1)
    first, second = x_THD.chunk(2, dim=-1)
    return torch.cat(
        (first * cos_T1D - second * sin_T1D, second * cos_T1D + first * sin_T1D), dim=-1
    )
