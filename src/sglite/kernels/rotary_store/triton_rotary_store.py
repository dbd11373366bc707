"""Head norms, rotation and the way into the KV pool: a Triton program for some heads of a token.

The heads of a program follow one another in memory, where they come from and where they go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from sglite.kernels.triton_dependent import let_next_start, wait_for_previous
from sglite.kernels.triton_support import dependent_launch, next_power_of_2

if TYPE_CHECKING:
    from sglite.kernels.rotary_store import HeadNorms, Rotation
    from sglite.kvcache.kv_pool import KVLayer

MAX_HEADS = 8
"""Of a program. Many small ones at a long chunk, not too few at a single token."""

PAIRS_PER_WARP = 256
"""Eight for each thread: loads of 16 bytes."""


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
    heads = min(MAX_HEADS, next_power_of_2(all_heads))
    half = next_power_of_2(head_dim // 2)
    if num_tokens:
        rotary_store_kernel[(num_tokens, triton.cdiv(all_heads, heads))](
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
            HEADS=heads,
            HALF=half,
            HAS_NORMS=norms is not None,
            num_warps=max(1, heads * half // PAIRS_PER_WARP),
            **dependent_launch(qkv_THD),
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
    HEADS: tl.constexpr,
    HALF: tl.constexpr,
    HAS_NORMS: tl.constexpr,
    IS_DEPENDENT: tl.constexpr,
):
    """Some heads of one token: queries, keys, values or, where these meet, of each some."""
    let_next_start(IS_DEPENDENT)
    half_dim: tl.constexpr = HEAD_DIM // 2
    first_value: tl.constexpr = NUM_HEADS + NUM_KV_HEADS
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)[:, None]
    # Every head reads its own copy of weights and angles: the cache serves it, and no number has to
    # go from one thread to another.
    pair = tl.zeros([HEADS, 1], tl.int32) + tl.arange(0, HALF)[None, :]
    is_pair = pair < half_dim
    is_query = head < NUM_HEADS
    is_key = (head >= NUM_HEADS) & (head < first_value)
    is_value = (head >= first_value) & (head < first_value + NUM_KV_HEADS)
    wait_for_previous(IS_DEPENDENT)
    place = head * HEAD_DIM + pair
    is_inside = is_pair & (is_query | is_key | is_value)
    source = qkv + token * token_stride + place
    first = tl.load(source, mask=is_inside, other=0.0)
    second = tl.load(source + half_dim, mask=is_inside, other=0.0)
    slot = tl.load(out_slots + token) * slot_stride
    target = v_pool + slot + place - first_value * HEAD_DIM
    store_head(target, first, second, is_pair & is_value, half_dim)
    if HAS_NORMS:
        first, second = normed(first, second, q_norm, k_norm, is_query, pair, eps, HEAD_DIM)
    angles = cos_sin + tl.load(cos_sin_rows + token) * HEAD_DIM + pair
    cos = tl.load(angles, mask=is_pair, other=0.0).to(tl.float32)
    sin = tl.load(angles + half_dim, mask=is_pair, other=0.0).to(tl.float32)
    wide_1, wide_2 = first.to(tl.float32), second.to(tl.float32)
    turned_1 = wide_1 * cos - wide_2 * sin
    turned_2 = wide_2 * cos + wide_1 * sin
    target = k_pool + slot + place - NUM_HEADS * HEAD_DIM
    store_head(target, turned_1, turned_2, is_pair & is_key, half_dim)
    target = q_out + token * (NUM_HEADS * HEAD_DIM) + place
    store_head(target, turned_1, turned_2, is_pair & is_query, half_dim)


@triton.jit
def normed(first, second, q_norm, k_norm, is_query, pair, eps, HEAD_DIM: tl.constexpr):
    """The halves of heads over their root mean square, times the weights of their kind."""
    half_dim: tl.constexpr = HEAD_DIM // 2
    is_pair = pair < half_dim
    q_weight_1 = tl.load(q_norm + pair, mask=is_pair, other=0.0).to(tl.float32)
    q_weight_2 = tl.load(q_norm + half_dim + pair, mask=is_pair, other=0.0).to(tl.float32)
    k_weight_1 = tl.load(k_norm + pair, mask=is_pair, other=0.0).to(tl.float32)
    k_weight_2 = tl.load(k_norm + half_dim + pair, mask=is_pair, other=0.0).to(tl.float32)
    wide_1, wide_2 = first.to(tl.float32), second.to(tl.float32)
    squares = tl.sum(wide_1 * wide_1 + wide_2 * wide_2, axis=1)
    scale = tl.rsqrt(squares / HEAD_DIM + eps)[:, None]
    unit_1, unit_2 = (wide_1 * scale).to(first.dtype), (wide_2 * scale).to(first.dtype)
    result_1 = unit_1.to(tl.float32) * tl.where(is_query, q_weight_1, k_weight_1)
    result_2 = unit_2.to(tl.float32) * tl.where(is_query, q_weight_2, k_weight_2)
    return result_1.to(first.dtype), result_2.to(first.dtype)


@triton.jit
def store_head(target, first, second, is_theirs, half_dim: tl.constexpr):
    """Both halves, in the type of what they go to."""
    tl.store(target, first.to(target.dtype.element_ty), mask=is_theirs)
    tl.store(target + half_dim, second.to(target.dtype.element_ty), mask=is_theirs)
