"""Paged attention over a work list, in Triton: FlashAttention's running softmax (Dao 2022) for
tiles of queries that see the same pages, parts of the keys merged by their log-sum-exp.

One kernel serves decode, chunks and shared prefixes: they differ in how many queries an item has.
The query heads of a KV head lie in one tile, so its keys are read once for all of them. A tile of
keys begins at a multiple of its length; where pages are no shorter it is one piece of a page, and
its page's id is a single number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from sglite.kernels.paged_attention.work_list import ITEM_WORDS, TILE_KEYS, DeviceWork, Scores
from sglite.kernels.triton_support import has_little_shared_memory, next_power_of_2

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVLayer

MERGED_AT_ONCE = 8
"""Parts whose loads are under way together; few tokens have more."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How programs are laid out on the device; changes the time, not what is computed.

    ``splits_edges``: tiles that every query sees whole have a loop of their own, without masks.
    For one query per item a single loop, whose loads are all under way early, is the better trade.
    """

    num_warps: int
    num_stages: int
    splits_edges: bool
    uses_descriptors: bool = False


def launch_of(work: DeviceWork, k_SKD: torch.Tensor) -> Launch:
    """What fits a multiprocessor without spilling; ``tools/gpu_kernels.py`` shows what it takes."""
    is_wide = k_SKD.dtype.itemsize * k_SKD.shape[2] > 256
    num_stages = 2 if is_wide or has_little_shared_memory(k_SKD.device) else 3
    if work.is_causal:
        return Launch(8, num_stages, splits_edges=True)
    return Launch(4, num_stages, splits_edges=False)


def attend(
    q_TND: torch.Tensor,
    kv_layer: KVLayer,
    page_table_WP: torch.Tensor,
    work: DeviceWork,
    out_TND: torch.Tensor,
    *,
    page_size: int,
    scores: Scores,
    launch: Launch | None = None,
) -> None:
    """See the package. ``launch`` is for measurements."""
    num_heads, head_dim = q_TND.shape[1:]
    k_SKD, v_SKD, k_scale_SK, v_scale_SK = kv_layer
    num_kv_heads = k_SKD.shape[1]
    assert q_TND.is_contiguous() and out_TND.is_contiguous(), "queries and results lie packed"
    assert k_SKD.stride() == v_SKD.stride(), "keys and values lie alike"
    launch = launch or launch_of(work, k_SKD)
    k_tiles, v_tiles = (
        _descriptor(x_SKD) if launch.uses_descriptors else None for x_SKD in (k_SKD, v_SKD)
    )
    assert not launch.uses_descriptors or page_size % TILE_KEYS == 0, page_size
    attend_kernel[(len(work.items_I6) * num_kv_heads,)](
        q_TND, k_SKD, v_SKD, k_scale_SK, v_scale_SK, k_tiles, v_tiles, out_TND,
        work.partials_SNX, page_table_WP, work.items_I6, work.queries_Q2,
        scores.scale, scores.softcap or 0.0, work.window or 0, page_table_WP.stride(0),
        NUM_KV_HEADS=num_kv_heads,
        GROUP=num_heads // num_kv_heads,
        HEAD_DIM=head_dim,
        BLOCK_DIM=max(16, next_power_of_2(head_dim)),
        ROWS=work.rows,
        KEYS=TILE_KEYS,
        PAGE_SIZE=page_size,
        SLOT_STRIDE=k_SKD.stride(0),
        HEAD_STRIDE=k_SKD.stride(1),
        IS_CAUSAL=work.is_causal,
        HAS_WINDOW=work.window is not None,
        HAS_SOFTCAP=scores.softcap is not None,
        SPLITS_EDGES=launch.splits_edges or launch.uses_descriptors,
        STAGES=launch.num_stages,
        num_warps=launch.num_warps,
    )  # fmt: skip
    if len(work.merges_M2):
        merge_kernel[(len(work.merges_M2), num_kv_heads)](
            work.partials_SNX, work.merges_M2, work.slot_tokens_S, out_TND,
            NUM_KV_HEADS=num_kv_heads,
            GROUP=num_heads // num_kv_heads,
            HEAD_DIM=head_dim,
            BLOCK_DIM=next_power_of_2(head_dim),
            PARTS=MERGED_AT_ONCE,
            num_warps=2,
        )  # fmt: skip


def _descriptor(pool_SKD: torch.Tensor) -> TensorDescriptor:
    """The pool as rows of all heads, read in pieces of one head and a tile's keys."""
    head_dim = pool_SKD.shape[2]
    assert head_dim == max(16, next_power_of_2(head_dim)), f"heads of {head_dim} are not a block"
    return TensorDescriptor.from_tensor(pool_SKD.flatten(1), [TILE_KEYS, head_dim])


ITEM = tl.constexpr(ITEM_WORDS)
LOG2_E = tl.constexpr(1.4426950408889634)

# Largest scores begin at -1e30, below every score and finite: a hidden one is minus infinity, and
# its weight is zero even where a row has seen nothing yet.


@triton.jit
def attend_kernel(
    q, k_pool, v_pool, k_scale, v_scale, k_tiles, v_tiles, out,
    partials, page_table, items, queries,
    scale, softcap, window, table_stride,
    NUM_KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    SLOT_STRIDE: tl.constexpr,
    HEAD_STRIDE: tl.constexpr,
    IS_CAUSAL: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    HAS_SOFTCAP: tl.constexpr,
    SPLITS_EDGES: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """One item and KV head. Rows are the queries of the item times the heads that share keys."""
    # All heads of an item are neighbours: they read the same pages at about the same time.
    item = items + tl.program_id(0) // NUM_KV_HEADS * ITEM
    kv_head = tl.program_id(0) % NUM_KV_HEADS
    num_queries = tl.load(item + 1)
    if num_queries == 0:  # room of a captured graph that this step does not need
        return
    row, dim = tl.arange(0, ROWS), tl.arange(0, BLOCK_DIM)
    query, is_query = row // GROUP, row // GROUP < num_queries
    entry = queries + (tl.load(item) + query) * 2
    token = tl.load(entry, mask=is_query, other=0)
    part = tl.load(entry + 1, mask=is_query, other=-1)
    head = kv_head * GROUP + row % GROUP
    line = token.to(tl.int64) * (NUM_KV_HEADS * GROUP) + head
    is_real = is_query[:, None] & (dim < HEAD_DIM)[None, :]
    q_rows = tl.load(q + line[:, None] * HEAD_DIM + dim[None, :], mask=is_real, other=0.0)
    table = page_table + tl.load(item + 2) * table_stride
    begin, end, position = tl.load(item + 3), tl.load(item + 4), tl.load(item + 5)
    first, last = begin // KEYS, tl.cdiv(end, KEYS)
    whole_first, whole_last = whole_tiles(
        begin, end, position, num_queries, window, KEYS, IS_CAUSAL, HAS_WINDOW
    )
    if not SPLITS_EDGES:
        whole_first, whole_last = first, first
    k_head, v_head = k_pool + kv_head * HEAD_STRIDE, v_pool + kv_head * HEAD_STRIDE
    if k_scale is not None:  # four bytes among a row's
        k_scale += kv_head * (HEAD_STRIDE // 4)
        v_scale += kv_head * (HEAD_STRIDE // 4)
    last_seen = position + query
    peak = tl.full([ROWS], -1e30, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    values = tl.zeros([ROWS, BLOCK_DIM], tl.float32)
    # Always in the order of the keys: a row's sums do not depend on its neighbours in the tile.
    if SPLITS_EDGES and HAS_WINDOW:
        peak, total, values = add_tiles(
            first, whole_first, peak, total, values, q_rows, k_head, v_head, k_scale, v_scale,
            k_tiles, v_tiles, kv_head, table, begin, end, last_seen, scale, softcap, window,
            HEAD_DIM, KEYS, PAGE_SIZE, SLOT_STRIDE,
            IS_CAUSAL, HAS_WINDOW, HAS_SOFTCAP, True, 1,
        )  # fmt: skip
    if SPLITS_EDGES:
        peak, total, values = add_tiles(
            whole_first, whole_last, peak, total, values, q_rows, k_head, v_head, k_scale, v_scale,
            k_tiles, v_tiles, kv_head, table, begin, end, last_seen, scale, softcap, window,
            HEAD_DIM, KEYS, PAGE_SIZE, SLOT_STRIDE,
            IS_CAUSAL, HAS_WINDOW, HAS_SOFTCAP, False, STAGES,
        )  # fmt: skip
    peak, total, values = add_tiles(
        whole_last, last, peak, total, values, q_rows, k_head, v_head, k_scale, v_scale,
        k_tiles, v_tiles, kv_head, table, begin, end, last_seen, scale, softcap, window,
        HEAD_DIM, KEYS, PAGE_SIZE, SLOT_STRIDE,
        IS_CAUSAL, HAS_WINDOW, HAS_SOFTCAP, True, 1 if SPLITS_EDGES else STAGES,
    )  # fmt: skip
    is_part = is_query & (part >= 0)
    target = partials + (part.to(tl.int64) * (NUM_KV_HEADS * GROUP) + head) * (HEAD_DIM + 2)
    tl.store(target, peak, mask=is_part)
    tl.store(target + 1, total, mask=is_part)
    tl.store(target[:, None] + 2 + dim[None, :], values, mask=is_real & is_part[:, None])
    # The sum is zero in rows that are no queries, and in parts of a chunk that a token is before.
    values /= tl.where(total > 0, total, 1.0)[:, None]
    target = out + line[:, None] * HEAD_DIM + dim[None, :]
    tl.store(target, values.to(out.dtype.element_ty), mask=is_real & (part < 0)[:, None])


@triton.jit
def whole_tiles(
    begin, end, position, num_queries, window,
    KEYS: tl.constexpr,
    IS_CAUSAL: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
):  # fmt: skip
    """The first of the tiles that every query sees whole, and the end of them."""
    whole_first, whole_last = tl.cdiv(begin, KEYS), end // KEYS
    if IS_CAUSAL:
        if HAS_WINDOW:
            hidden = position + num_queries - window
            whole_first = tl.maximum(whole_first, tl.cdiv(tl.maximum(hidden, 0), KEYS))
        whole_last = tl.minimum(end, position + 1) // KEYS
    whole_first = tl.minimum(whole_first, tl.cdiv(end, KEYS))
    return whole_first, tl.maximum(whole_first, whole_last)


@triton.jit
def add_tiles(
    first, last, peak, total, values, q_rows, k_head, v_head, k_scale, v_scale,
    k_tiles, v_tiles, kv_head, table, begin, end, last_seen, scale, softcap, window,
    HEAD_DIM: tl.constexpr,
    KEYS: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    SLOT_STRIDE: tl.constexpr,
    IS_CAUSAL: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    HAS_SOFTCAP: tl.constexpr,
    IS_EDGE: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """The running softmax of the rows after some more tiles of keys: peak, total and values."""
    kind: tl.constexpr = q_rows.dtype
    block_dim: tl.constexpr = q_rows.shape[1]
    step, dim = tl.arange(0, KEYS), tl.arange(0, block_dim)
    if PAGE_SIZE % KEYS == 0:
        page = tl.load(table + first * KEYS // PAGE_SIZE, mask=first < last, other=0)
    for tile in tl.range(first, last, num_stages=STAGES):
        start = tile * KEYS
        is_key = (start + step >= begin) & (start + step < end)
        if PAGE_SIZE % KEYS == 0:
            base = page.to(tl.int64) * PAGE_SIZE + start % PAGE_SIZE
            page = tl.load(table + (start + KEYS) // PAGE_SIZE, mask=tile + 1 < last, other=0)
            place = base * SLOT_STRIDE + (step[:, None] * SLOT_STRIDE + dim[None, :])
            slot = base + step
        else:
            page = tl.load(table + (start + step) // PAGE_SIZE, mask=is_key, other=0)
            slot = page.to(tl.int64) * PAGE_SIZE + (start + step) % PAGE_SIZE
            place = slot[:, None] * SLOT_STRIDE + dim[None, :]
        if k_tiles is not None and not IS_EDGE:
            k = k_tiles.load([base.to(tl.int32), kv_head * HEAD_DIM])
            v = v_tiles.load([base.to(tl.int32), kv_head * HEAD_DIM])
        elif IS_EDGE or block_dim != HEAD_DIM:
            # A stale NaN times a weight of zero is a NaN: what is hidden is not loaded either.
            is_number = (dim < HEAD_DIM)[None, :]
            if IS_EDGE:
                is_number = is_key[:, None] & is_number
            k = tl.load(k_head + place, mask=is_number, other=0.0)
            v = tl.load(v_head + place, mask=is_number, other=0.0)
        else:
            k, v = tl.load(k_head + place), tl.load(v_head + place)
        score = tl.dot(q_rows, tl.trans(k.to(kind)), input_precision="ieee")
        if k_scale is not None:
            place = slot * (SLOT_STRIDE // 4)
            score *= tl.load(k_scale + place, mask=is_key, other=0.0)[None, :]
        if HAS_SOFTCAP:
            score = capped(score * scale, softcap) * LOG2_E
        else:
            score *= scale * LOG2_E
        if IS_EDGE:
            is_seen = is_key[None, :]
            if IS_CAUSAL:
                is_seen &= start + step[None, :] <= last_seen[:, None]
            if IS_CAUSAL and HAS_WINDOW:
                is_seen &= start + step[None, :] > last_seen[:, None] - window
            score = tl.where(is_seen, score, float("-inf"))
        new_peak = tl.maximum(peak, tl.max(score, axis=1))
        weight = tl.exp2(score - new_peak[:, None])
        factor = tl.exp2(peak - new_peak)
        total = total * factor + tl.sum(weight, axis=1)
        if v_scale is not None:
            weight *= tl.load(v_scale + place, mask=is_key, other=0.0)[None, :]
        values = tl.dot(
            weight.to(kind), v.to(kind), values * factor[:, None], input_precision="ieee"
        )
        peak = new_peak
    return peak, total, values


@triton.jit
def capped(score, softcap):
    """``softcap * tanh(score / softcap)``, from the exponential of what is not positive."""
    small = tl.exp(-2.0 * tl.abs(score) / softcap)
    magnitude = softcap * (1.0 - small) / (1.0 + small)
    return tl.where(score < 0, -magnitude, magnitude)


@triton.jit
def merge_kernel(
    partials, merges, slot_tokens, out,
    NUM_KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    PARTS: tl.constexpr,
):  # fmt: skip
    """One token and the heads of a KV head: its parts, weighted by their sums."""
    merge = merges + tl.program_id(0) * 2
    first, count = tl.load(merge).to(tl.int64), tl.load(merge + 1)
    if count == 0:
        return
    token = tl.load(slot_tokens + first).to(tl.int64)
    part, dim = tl.arange(0, PARTS), tl.arange(0, BLOCK_DIM)
    is_inside = dim < HEAD_DIM
    for index in tl.static_range(GROUP):
        head = tl.program_id(1) * GROUP + index
        peak, total = -1e30, 0.0
        values = tl.zeros([BLOCK_DIM], tl.float32)
        for start in range(0, count, PARTS):
            is_part = start + part < count
            source = (first + start + part) * (NUM_KV_HEADS * GROUP) + head
            source = partials + source * (HEAD_DIM + 2)
            peaks = tl.load(source, mask=is_part, other=-1e30)
            new_peak = tl.maximum(peak, tl.max(peaks, axis=0))
            weight = tl.where(is_part, tl.exp2(peaks - new_peak), 0.0)
            factor = tl.exp2(peak - new_peak)
            totals = tl.load(source + 1, mask=is_part, other=0.0)
            total = total * factor + tl.sum(totals * weight, axis=0)
            is_number = is_part[:, None] & is_inside[None, :]
            parts = tl.load(source[:, None] + 2 + dim[None, :], mask=is_number, other=0.0)
            values = values * factor + tl.sum(parts * weight[:, None], axis=0)
            peak = new_peak
        target = out + (token * (NUM_KV_HEADS * GROUP) + head) * HEAD_DIM + dim
        tl.store(target, (values / total).to(out.dtype.element_ty), mask=is_inside)
