"""From the product of the hidden states to what attention reads: signature and dispatch.

Queries and keys are normalised head by head (where the model does so) and rotated by the angles of
their positions; keys and values go into the KV pool. Five operations over small tensors as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sglite.kernels import triton_support
from sglite.kernels.rotary_store import reference

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVLayer


@dataclass(frozen=True, slots=True)
class HeadNorms:
    """Weights ``[D]`` of the norms of a query's and of a key's head."""

    q_D: torch.Tensor
    k_D: torch.Tensor
    eps: float


@dataclass(frozen=True, slots=True)
class Rotation:
    """Cosines and sines ``[rows, D]`` (cos of all pairs, then sin), and each token's row in it."""

    cos_sin_PD: torch.Tensor
    rows_T: torch.Tensor


def rotary_store(
    qkv_THD: torch.Tensor,
    num_heads: int,
    rotation: Rotation,
    kv_layer: KVLayer,
    out_slots_T: torch.Tensor,
    *,
    norms: HeadNorms | None = None,
) -> torch.Tensor:
    """Rotated queries ``[T, N, D]``; the tokens' keys and values are in the pool then.

    | tensor | shape | dtype |
    |---|---|---|
    | qkv_THD | [T, N + 2 K, D] | float32, bfloat16 or float16: query, key, value heads |
    | rotation | | the table has the type of qkv; rows are int64 |
    | out_slots_T | [T] | int64, distinct |

    A norm is computed in float32 and rounded before its weight is multiplied. Pair (d, d + D/2) is
    turned by its token's angle d. A token's bits do not depend on the batch.
    """
    is_float8 = kv_layer.k_SKD.dtype == torch.float8_e4m3fn  # not every GPU knows it
    if triton_support.runs_on(qkv_THD) and kv_layer.k_scale_SK is None and not is_float8:
        from sglite.kernels.rotary_store import triton_rotary_store

        return triton_rotary_store.rotary_store(
            qkv_THD, num_heads, rotation, kv_layer, out_slots_T, norms=norms
        )
    return reference.rotary_store(qkv_THD, num_heads, rotation, kv_layer, out_slots_T, norms=norms)
