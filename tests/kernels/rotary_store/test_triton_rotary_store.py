from __future__ import annotations

import pytest
import torch

from sglite.kernels.rotary_store import HeadNorms, Rotation, reference
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.kv_pool import KVPool
from tests.kernels.triton_harness import DEVICE, DTYPES, assert_close
from tests.model_harness import poison

triton_rotary_store = pytest.importorskip("sglite.kernels.rotary_store.triton_rotary_store")

SHAPES = [  # tokens, query heads, KV heads, head_dim
    (1, 1, 1, 2),
    (3, 4, 2, 16),
    (5, 3, 3, 80),
    (2, 8, 1, 128),
    (0, 2, 1, 16),
]


def layer(num_kv_heads: int, head_dim: int, dtype: torch.dtype):
    """A layer of 16 slots that hold NaN."""
    pool = KVPool(
        [KVGroup("paged_full", (0,))],
        [4],
        page_size=4,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        dtype=dtype,
        device=DEVICE,
    )
    poison(pool)
    return pool.layer(0)


@pytest.mark.parametrize("has_norms", [True, False])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_queries_come_out_and_keys_and_values_are_stored(shape, dtype, has_norms):
    tokens, heads, kv_heads, dim = shape
    qkv = torch.randn(tokens, heads + 2 * kv_heads, dim, device=DEVICE).to(dtype)
    turns = torch.rand(20, dim // 2, device=DEVICE) * 6.3
    table = torch.cat((turns.cos(), turns.sin()), dim=-1).to(dtype)
    rotation = Rotation(table, torch.randint(0, 20, (tokens,), device=DEVICE))
    slots = torch.randperm(16, device=DEVICE)[:tokens]
    weights = (torch.randn(dim, device=DEVICE).to(dtype) for _ in range(2))
    norms = HeadNorms(*weights, 1e-6) if has_norms else None
    theirs, ours = layer(kv_heads, dim, dtype), layer(kv_heads, dim, dtype)
    expected = reference.rotary_store(qkv, heads, rotation, theirs, slots, norms=norms)
    actual = triton_rotary_store.rotary_store(qkv, heads, rotation, ours, slots, norms=norms)
    assert_close(actual, expected)
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        assert_close(mine[slots], other[slots])
        assert mine.isnan().flatten(1).all(1).sum() == 16 - tokens  # nothing else was written
