"""Head norms, rotation and the way into the KV pool: one Triton program per token and head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from sglite.kernels.triton_support import next_power_of_2

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
    num_tokens, all_heads, head_dim = qkv_THD.shape
    out_TND = torch.empty(
        (num_tokens, num_heads, head_dim), dtype=qkv_THD.dtype, device=qkv_THD.device
    )
    table = rotation.cos_sin_PD
    if num_tokens:
        rotary_store_kernel[(num_tokens, all_heads)](
            qkv_THD,
            table if norms is None else norms.q_D,
            table if norms is None else norms.k_D,
            table,
            rotation.rows_T,
            out_slots_T,
            out_TND,
            kv_layer.k_SKD,
            kv_layer.v_SKD,
            0.0 if norms is None else norms.eps,
            qkv_THD.stride(0),
            kv_layer.k_SKD.stride(0),
            NUM_HEADS=num_heads,
            NUM_KV_HEADS=(all_heads - num_heads) // 2,
            HEAD_DIM=head_dim,
            HALF=next_power_of_2(head_dim // 2),
            HAS_NORMS=norms is not None,
            num_warps=1,
        )
    return out_TND


@triton.jit
def rotary_store_kernel(
    qkv,
    q_norm,
    k_norm,
    cos_sin,
    cos_sin_rows,
    out_slots,
    q_out,
    k_pool,
    v_pool,
    eps,
    token_stride,
    slot_stride,
    NUM_HEADS: tl.constexpr,
    NUM_KV_HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    HALF: tl.constexpr,
    HAS_NORMS: tl.constexpr,
):
    """One head of one token: a query, a key or a value, in this order."""
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    half_dim: tl.constexpr = HEAD_DIM // 2
    pair = tl.arange(0, HALF)
    is_inside = pair < half_dim
    source = qkv + token * token_stride + head * HEAD_DIM + pair
    first = tl.load(source, mask=is_inside, other=0.0)
    second = tl.load(source + half_dim, mask=is_inside, other=0.0)
    slot = tl.load(out_slots + token)
    if head >= NUM_HEADS + NUM_KV_HEADS:
        value_head = head - NUM_HEADS - NUM_KV_HEADS
        target = v_pool + slot * slot_stride + value_head * HEAD_DIM + pair
        tl.store(target, first.to(v_pool.dtype.element_ty), mask=is_inside)
        tl.store(target + half_dim, second.to(v_pool.dtype.element_ty), mask=is_inside)
        return
    if HAS_NORMS:
        wide_1, wide_2 = first.to(tl.float32), second.to(tl.float32)
        squares = tl.sum(wide_1 * wide_1 + wide_2 * wide_2, axis=0)
        scale = tl.rsqrt(squares / HEAD_DIM + eps)
        weight = q_norm
        if head >= NUM_HEADS:
            weight = k_norm
        weight_1 = tl.load(weight + pair, mask=is_inside, other=0.0).to(tl.float32)
        weight_2 = tl.load(weight + half_dim + pair, mask=is_inside, other=0.0).to(tl.float32)
        kind: tl.constexpr = qkv.dtype.element_ty
        first = ((wide_1 * scale).to(kind).to(tl.float32) * weight_1).to(kind)
        second = ((wide_2 * scale).to(kind).to(tl.float32) * weight_2).to(kind)
    row = tl.load(cos_sin_rows + token).to(tl.int64)
    cos = tl.load(cos_sin + row * HEAD_DIM + pair, mask=is_inside, other=0.0).to(tl.float32)
    sin = tl.load(cos_sin + row * HEAD_DIM + half_dim + pair, mask=is_inside, other=0.0)
    sin = sin.to(tl.float32)
    wide_1, wide_2 = first.to(tl.float32), second.to(tl.float32)
    turned_1 = wide_1 * cos - wide_2 * sin
    turned_2 = wide_2 * cos + wide_1 * sin
    if head >= NUM_HEADS:
        target = k_pool + slot * slot_stride + (head - NUM_HEADS) * HEAD_DIM + pair
        tl.store(target, turned_1.to(k_pool.dtype.element_ty), mask=is_inside)
        tl.store(target + half_dim, turned_2.to(k_pool.dtype.element_ty), mask=is_inside)
    else:
        target = q_out + (token * NUM_HEADS + head) * HEAD_DIM + pair
        tl.store(target, turned_1.to(q_out.dtype.element_ty), mask=is_inside)
        tl.store(target + half_dim, turned_2.to(q_out.dtype.element_ty), mask=is_inside)
