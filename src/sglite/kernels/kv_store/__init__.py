"""Keys and values of tokens into their slots of the KV pool, and out of them again.

In an int8 pool x is ``code * scale``, with codes from -127 to 127 and one scale for the keys, and
one for the values, of each token and head. An fp8_e4m3 pool rounds to the nearest of its numbers,
none beyond 448. The compiled CPU kernels store the very same codes and scales.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVLayer

LARGEST_CODE = 127
SMALLEST = 1e-30
"""Rows with nothing larger are stored as zeros: their scale would have few digits or none."""

LARGEST_FP8 = 448.0


def store_kv(
    k_TKD: torch.Tensor, v_TKD: torch.Tensor, kv_layer: KVLayer, out_slots_T: torch.Tensor
) -> None:
    """Write tokens into distinct slots (int64), in the pool's type."""
    _store(k_TKD, kv_layer.k_SKD, kv_layer.k_scale_SK, out_slots_T)
    _store(v_TKD, kv_layer.v_SKD, kv_layer.v_scale_SK, out_slots_T)


def load_kv(
    kv_layer: KVLayer, slots_S: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """K and V ``[S, K, D]`` of those slots, as numbers of ``dtype``."""
    return (
        _load(kv_layer.k_SKD, kv_layer.k_scale_SK, slots_S, dtype),
        _load(kv_layer.v_SKD, kv_layer.v_scale_SK, slots_S, dtype),
    )


def quantize(x_TKD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes ``[T, K, D]`` and scales ``[T, K]``; a row with a NaN or an infinity has no scale."""
    x_TKD = x_TKD.float()
    largest_TK = x_TKD.abs().amax(dim=-1)
    largest_TK = torch.where(largest_TK < SMALLEST, 0.0, largest_TK)
    scale_TK = torch.where(largest_TK.isinf(), torch.nan, largest_TK / LARGEST_CODE)
    codes_TKD = (x_TKD / scale_TK[..., None]).round()
    codes_TKD = torch.where(scale_TK[..., None] > 0, codes_TKD, 0.0)
    return codes_TKD.to(torch.int8), scale_TK


def _store(
    x_TKD: torch.Tensor,
    pool_SKD: torch.Tensor,
    scale_SK: torch.Tensor | None,
    out_slots_T: torch.Tensor,
) -> None:
    if scale_SK is not None:
        x_TKD, scale_TK = quantize(x_TKD)
        scale_SK.index_copy_(0, out_slots_T, scale_TK)
    if pool_SKD.dtype == torch.float8_e4m3fn:
        codes_TKD = x_TKD.float().clamp(-LARGEST_FP8, LARGEST_FP8).to(pool_SKD.dtype)
        pool_SKD, x_TKD = pool_SKD.view(torch.uint8), codes_TKD.view(torch.uint8)
    pool_SKD.index_copy_(0, out_slots_T, x_TKD.to(pool_SKD.dtype))


def _load(
    pool_SKD: torch.Tensor,
    scale_SK: torch.Tensor | None,
    slots_S: torch.Tensor,
    dtype: torch.dtype,
) -> torch.Tensor:
    x_SKD = pool_SKD.index_select(0, slots_S)
    if scale_SK is not None:
        x_SKD = x_SKD * scale_SK.index_select(0, slots_S)[..., None]
    return x_SKD.to(dtype)
