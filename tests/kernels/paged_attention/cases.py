"""Nasty inputs for paged attention: odd lengths, page edges, scattered pages, poisoned slots."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from sglite.executors.forward_batch import AttentionMetadata
from sglite.kernels.kv_store import store_kv
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.kv_pool import KVLayer, KVPool
from tests.model_harness import poison


@dataclass(frozen=True)
class Runs:
    """``(new tokens, KV length after them)`` of each row, and how they are stored."""

    name: str
    runs: list[tuple[int, int]]
    page_size: int = 4
    window: int | None = None


CASES = [
    Runs("one-token-alone", [(1, 1)]),
    Runs("decode-at-page-edges", [(1, 3), (1, 4), (1, 5), (1, 8), (1, 9)]),
    Runs("decode-all-equal", [(1, 7), (1, 7), (1, 7)]),
    Runs("decode-lengths-far-apart", [(1, 1), (1, 600), (1, 63), (1, 65), (1, 130)], page_size=16),
    Runs("prefill-odd", [(63, 63)]),
    Runs("prefill-after-a-prefix", [(13, 50), (2, 9)]),
    Runs("prefill-longer-than-a-block", [(600, 700)], page_size=16),
    Runs("prefill-and-decode-mixed", [(1, 21), (7, 7), (1, 1), (5, 33), (1, 130), (2, 2)]),
    Runs("page-size-one", [(1, 9), (6, 11), (1, 2)], page_size=1),
    Runs("page-larger-than-everything", [(1, 9), (6, 11), (1, 2)], page_size=64),
    Runs("window-of-one", [(1, 9), (6, 11), (1, 1), (9, 9)], window=1),
    Runs("window-at-page-edge", [(1, 8), (1, 9), (5, 13), (9, 9)], window=4),
    Runs("window-odd", [(1, 50), (1, 3), (20, 41), (30, 30), (1, 7)], window=7),
    Runs("window-longer-than-everything", [(1, 9), (6, 11)], window=100),
    Runs("window-and-blocks", [(1100, 1200)], page_size=16, window=300),
]


@dataclass(frozen=True)
class Inputs:
    """One call's arguments; every slot that may not be read holds NaN."""

    q_TND: torch.Tensor
    kv_layer: KVLayer
    metadata: AttentionMetadata


def make_inputs(
    case: Runs,
    *,
    gqa_ratio: int,
    dtype: torch.dtype,
    kv_dtype: torch.dtype | None = None,
    num_kv_heads: int = 2,
    head_dim: int = 16,
) -> Inputs:
    """Random q, K and V. Pages are scattered; table entries before the window are garbage (0).

    ``kv_dtype`` is the pool's; None: as q.
    """
    order = random.Random(1)
    generator = torch.Generator().manual_seed(2)
    tables = _scattered_tables(case, order)
    pool = KVPool(
        [KVGroup("paged_full", (0,))],
        [1 + sum(map(len, tables))],
        page_size=case.page_size,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        dtype=kv_dtype or dtype,
    )
    poison(pool)
    kv_layer = pool.layer(0)
    width = max(map(len, tables)) + 1
    page_table = torch.zeros(len(tables), width, dtype=torch.int32)
    offsets, out_slots = [0], []
    for row, ((new, length), table) in enumerate(zip(case.runs, tables, strict=True)):
        start = length - new
        first = 0 if case.window is None else max(0, start - case.window + 1)
        slots = [
            table[p // case.page_size] * case.page_size + p % case.page_size for p in range(length)
        ]
        k_SKD, v_SKD = (
            torch.randn(length - first, num_kv_heads, head_dim, generator=generator).to(dtype)
            for _ in range(2)
        )
        store_kv(k_SKD, v_SKD, kv_layer, torch.tensor(slots[first:]))
        readable = range(first // case.page_size, len(table))
        page_table[row, list(readable)] = torch.tensor(
            [table[i] for i in readable], dtype=torch.int32
        )
        offsets.append(offsets[-1] + new)
        out_slots += slots[start:]
    seq_lens = [length for _, length in case.runs]
    num_heads = num_kv_heads * gqa_ratio
    metadata = AttentionMetadata(
        page_table_RP=page_table,
        out_slots_T=torch.tensor(out_slots),
        run_offsets=offsets,
        seq_lens=seq_lens,
        seq_lens_R=torch.tensor(seq_lens, dtype=torch.int32),
        page_size=case.page_size,
        window=case.window,
    )
    q_TND = torch.randn(offsets[-1], num_heads, head_dim, generator=generator).to(dtype)
    return Inputs(q_TND, kv_layer, metadata)


def _scattered_tables(case: Runs, order: random.Random) -> list[list[int]]:
    """Pages of each row, no page twice; page 0 belongs to nobody."""
    counts = [-(-length // case.page_size) for _, length in case.runs]
    pages = order.sample(range(1, 1 + sum(counts)), sum(counts))
    return [[pages.pop() for _ in range(count)] for count in counts]
