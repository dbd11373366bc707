"""New keys and values land in their slots and nowhere else."""

from __future__ import annotations

import pytest
import torch

from sglite.kernels.kv_store import store_kv
from sglite.kvcache.kv_pool import KVLayer


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_slots_are_written_and_the_others_are_left(dtype):
    kv_layer = KVLayer(torch.zeros(9, 2, 4, dtype=dtype), torch.zeros(9, 2, 4, dtype=dtype))
    qkv = torch.randn(3, 6, 4).to(dtype)
    slots = torch.tensor([7, 0, 4])

    store_kv(qkv[:, 2:4], qkv[:, 4:], kv_layer, slots)

    assert torch.equal(kv_layer.k_SKD[slots], qkv[:, 2:4])
    assert torch.equal(kv_layer.v_SKD[slots], qkv[:, 4:])
    others = [1, 2, 3, 5, 6, 8]
    assert not kv_layer.k_SKD[others].any()
    assert not kv_layer.v_SKD[others].any()
