"""Paged attention over a work list, in Triton: FlashAttention's running softmax (Dao 2022) for
tiles of queries that see the same pages, parts of the keys merged by their log-sum-exp.

One kernel serves decode, chunks and shared prefixes: they differ in how many queries an item has.
The query heads of a KV head lie in one tile, so its keys are read once for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from sglite.kernels.triton_support import next_power_of_2

SMALLEST_TILE = 16
"""Rows of a product of matrices at least; fewer queries leave rows unused."""


@dataclass(frozen=True, slots=True)
class DeviceWork:
    """A :class:`WorkList` on the device, and the memory of its parts (``[slots, N, D + 2]``)."""

    items_I5: torch.Tensor
    query_tokens_Q: torch.Tensor
    query_slots_Q: torch.Tensor
    partial_offsets_T: torch.Tensor
    visible_T2: torch.Tensor
    partials: torch.Tensor


@dataclass(frozen=True, slots=True)
class Scores:
    """How scores come from q·k: times ``scale``, then softly capped where ``softcap`` is set."""

    scale: float
    softcap: float | None = None


def attend(
    q_TND: torch.Tensor,
    k_SKD: torch.Tensor,
    v_SKD: torch.Tensor,
    page_table_RP: torch.Tensor,
    work: DeviceWork,
    *,
    page_size: int,
    scores: Scores,
    tile_tokens: int,
) -> torch.Tensor:
    """Attended values ``[T, N, D]``, dtype of q. See the package for what is visible."""
    num_tokens, num_heads, head_dim = q_TND.shape
    num_kv_heads = k_SKD.shape[1]
    group = num_heads // num_kv_heads
    out_TND = torch.empty_like(q_TND)
    is_decode = tile_tokens == 1
    attend_kernel[(len(work.items_I5), num_kv_heads)](
        q_TND,
        k_SKD,
        v_SKD,
        out_TND,
        work.partials,
        page_table_RP,
        work.items_I5,
        work.query_tokens_Q,
        work.query_slots_Q,
        work.visible_T2,
        scores.scale,
        scores.softcap or 0.0,
        page_table_RP.stride(0),
        k_SKD.stride(0),
        NUM_HEADS=num_heads,
        GROUP=group,
        HEAD_DIM=head_dim,
        BLOCK_DIM=max(16, next_power_of_2(head_dim)),
        ROWS=max(SMALLEST_TILE, next_power_of_2(tile_tokens * group)),
        KEYS=64,
        PAGE_SIZE=page_size,
        HAS_SOFTCAP=scores.softcap is not None,
        num_warps=4 if is_decode else 8,
        num_stages=3,
    )
    if len(work.partials):
        merge_kernel[(num_tokens, num_heads)](
            work.partials,
            work.partial_offsets_T,
            out_TND,
            NUM_HEADS=num_heads,
            HEAD_DIM=head_dim,
            BLOCK_DIM=next_power_of_2(head_dim),
            num_warps=1,
        )
    return out_TND


@triton.jit
def attend_kernel(
    q,
    k_pool,
    v_pool,
    out,
    partials,
    page_table,
    items,
    query_tokens,
    query_slots,
    visible,
    scale,
    softcap,
    table_stride,
    slot_stride,
    NUM_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    HAS_SOFTCAP: tl.constexpr,
):
    """One item and KV head. Rows are the queries of the item times the heads that share keys."""
    item = items + tl.program_id(0) * 5
    kv_head = tl.program_id(1)
    first_query, num_queries = tl.load(item), tl.load(item + 1)
    if num_queries == 0:  # room of a captured graph that this step does not need
        return
    row, dim = tl.arange(0, ROWS), tl.arange(0, BLOCK_DIM)
    query = first_query + row // GROUP
    is_query = row // GROUP < num_queries
    token = tl.load(query_tokens + query, mask=is_query, other=0)
    head = kv_head * GROUP + row % GROUP
    place = (token.to(tl.int64) * NUM_HEADS + head) * HEAD_DIM
    is_real = is_query[:, None] & (dim < HEAD_DIM)[None, :]
    queries = tl.load(q + place[:, None] + dim[None, :], mask=is_real, other=0.0)
    low = tl.load(visible + 2 * token, mask=is_query, other=0)
    high = tl.load(visible + 2 * token + 1, mask=is_query, other=0)
    table = page_table + tl.load(item + 2) * table_stride
    begin, end = tl.load(item + 3), tl.load(item + 4)
    peak = tl.full([ROWS], -1e30, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    values = tl.zeros([ROWS, BLOCK_DIM], tl.float32)
    for start in range(begin, end, KEYS):
        key = start + tl.arange(0, KEYS)
        slot = slots_of(table, key, key < end, PAGE_SIZE)
        offset = slot * slot_stride + kv_head * HEAD_DIM
        is_number = (key < end)[:, None] & (dim < HEAD_DIM)[None, :]
        k = tl.load(k_pool + offset[:, None] + dim[None, :], mask=is_number, other=0.0)
        v = tl.load(v_pool + offset[:, None] + dim[None, :], mask=is_number, other=0.0)
        is_seen = (key[None, :] >= low[:, None]) & (key[None, :] < tl.minimum(high, end)[:, None])
        peak, total, values = add_keys(
            queries, k, v, is_seen, scale, softcap, peak, total, values, HAS_SOFTCAP
        )
    part = tl.load(query_slots + query, mask=is_query, other=-1)
    result = (values / tl.where(total > 0, total, 1.0)[:, None]).to(out.dtype.element_ty)
    is_whole = is_real & (part < 0)[:, None]
    tl.store(out + place[:, None] + dim[None, :], result, mask=is_whole)
    target = partials + (part.to(tl.int64) * NUM_HEADS + head) * (HEAD_DIM + 2)
    store_part(target, peak, total, values, is_query & (part >= 0), HEAD_DIM, BLOCK_DIM)


@triton.jit
def store_part(
    target, peak, total, values, is_part, HEAD_DIM: tl.constexpr, BLOCK_DIM: tl.constexpr
):
    """What the rows of an item have of a part of their keys: peak, total and values."""
    dim = tl.arange(0, BLOCK_DIM)
    tl.store(target, peak, mask=is_part)
    tl.store(target + 1, total, mask=is_part)
    is_number = is_part[:, None] & (dim < HEAD_DIM)[None, :]
    tl.store(target[:, None] + 2 + dim[None, :], values, mask=is_number)


@triton.jit
def add_keys(
    queries, k, v, is_seen, scale, softcap, peak, total, values, HAS_SOFTCAP: tl.constexpr
):
    """The running softmax of the rows after some more keys: peak, total and values."""
    score = tl.dot(queries, tl.trans(k.to(queries.dtype)), input_precision="ieee") * scale
    if HAS_SOFTCAP:
        score = capped(score, softcap)
    score = tl.where(is_seen, score, -1e30)
    new_peak = tl.maximum(peak, tl.max(score, axis=1))
    weight = tl.where(is_seen, tl.exp(score - new_peak[:, None]), 0.0)
    v = v.to(queries.dtype)
    factor = tl.exp(peak - new_peak)
    values = values * factor[:, None]
    values += tl.dot(weight.to(v.dtype), v, input_precision="ieee")
    return new_peak, total * factor + tl.sum(weight, axis=1), values


@triton.jit
def slots_of(table, key, is_key, PAGE_SIZE: tl.constexpr):
    """Where the keys of a sequence lie in the pool."""
    page = tl.load(table + key // PAGE_SIZE, mask=is_key, other=0)
    return page.to(tl.int64) * PAGE_SIZE + key % PAGE_SIZE


@triton.jit
def capped(score, softcap):
    """``softcap * tanh(score / softcap)``, from the exponential of what is not positive."""
    small = tl.exp(-2.0 * tl.abs(score) / softcap)
    magnitude = softcap * (1.0 - small) / (1.0 + small)
    return tl.where(score < 0, -magnitude, magnitude)


@triton.jit
def merge_kernel(
    partials,
    partial_offsets,
    out,
    NUM_HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """One token and head: its parts, weighted by their sums; nothing where it is whole."""
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    first = tl.load(partial_offsets + token).to(tl.int64)
    last = tl.load(partial_offsets + token + 1).to(tl.int64)
    if first == last:
        return
    dim = tl.arange(0, BLOCK_DIM)
    is_inside = dim < HEAD_DIM
    peak = -1e30
    total = 0.0
    values = tl.zeros([BLOCK_DIM], tl.float32)
    for slot in range(first, last):
        part = partials + (slot * NUM_HEADS + head) * (HEAD_DIM + 2)
        part_peak = tl.load(part)
        new_peak = tl.maximum(peak, part_peak)
        old, new = tl.exp(peak - new_peak), tl.exp(part_peak - new_peak)
        values = values * old + tl.load(part + 2 + dim, mask=is_inside, other=0.0) * new
        total = total * old + tl.load(part + 1) * new
        peak = new_peak
    target = out + (token * NUM_HEADS + head) * HEAD_DIM + dim
    tl.store(target, (values / total).to(out.dtype.element_ty), mask=is_inside)
