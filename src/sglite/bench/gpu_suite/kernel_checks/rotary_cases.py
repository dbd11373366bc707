"""Head norms, rotation and the way into the KV pool."""

from __future__ import annotations

from functools import partial

import torch

from sglite.bench.gpu_suite.kernel_checks.case import Case, Pair, Place
from sglite.kernels.rotary_store import HeadNorms, Rotation, reference
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.kv_pool import KVLayer, KVPool

SIZES = [  # tokens, query heads, KV heads, head_dim
    (1, 1, 1, 2),
    (3, 4, 2, 16),
    (5, 3, 3, 80),
    (2, 8, 1, 128),
    (256, 16, 8, 128),
    (257, 40, 8, 128),
    (8192, 16, 8, 128),
    (63, 14, 2, 64),
]
ANGLES = 20


def cases() -> list[Case]:
    """Sizes, with head norms and without."""
    return [
        Case(
            "rotary_store",
            f"{tokens} tokens, {heads} and {kv_heads} heads of {dim}{words}",
            partial(rotary, (tokens, heads, kv_heads, dim), has_norms),
            tokens > 8,
        )
        for tokens, heads, kv_heads, dim in SIZES
        for has_norms, words in ((True, ", norms"), (False, ""))
    ]


def rotary(sizes: tuple[int, int, int, int], has_norms: bool, place: Place) -> list[Pair]:
    """Queries, and the whole pools: nothing else may be written."""
    tokens, heads, kv_heads, dim = sizes
    qkv = place.randn(tokens, heads + 2 * kv_heads, dim)
    turns = torch.rand(ANGLES, dim // 2, device=place.device) * 6.3
    table = torch.cat((turns.cos(), turns.sin()), dim=-1).to(place.dtype)
    rotation = Rotation(table, torch.randint(0, ANGLES, (tokens,), device=place.device))
    slots = torch.randperm(tokens + 5, device=place.device)[:tokens]
    norms = HeadNorms(place.randn(dim), place.randn(dim), 1e-6) if has_norms else None
    theirs, ours = (_layer(tokens + 5, kv_heads, dim, place) for _ in range(2))
    expected = reference.rotary_store(qkv, heads, rotation, theirs, slots, norms=norms)
    module = place.implementation("rotary_store")
    actual = module.rotary_store(qkv, heads, rotation, ours, slots, norms=norms)
    pools = [Pair(ours.k_SKD, theirs.k_SKD), Pair(ours.v_SKD, theirs.v_SKD)]
    return [Pair(actual, expected), *pools]


def _layer(num_slots: int, kv_heads: int, dim: int, place: Place) -> KVLayer:
    pool = KVPool(
        [KVGroup("paged_full", (0,))],
        [num_slots],
        page_size=1,
        num_kv_heads=kv_heads,
        head_dim=dim,
        dtype=place.dtype,
        device=place.device,
    )
    return pool.layer(0)
