"""New keys and values land in their slots and nowhere else."""

from __future__ import annotations

import pytest
import torch

from sglite.kernels.kv_store import load_kv, quantize, store_kv
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.kv_pool import KVLayer, KVPool


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


def layer_of(dtype: torch.dtype, head_dim: int) -> KVLayer:
    groups = [KVGroup("paged_full", (0,))]
    shape = {"page_size": 4, "num_kv_heads": 2, "head_dim": head_dim}
    return KVPool(groups, [3], dtype=dtype, **shape).layer(0)


@pytest.mark.parametrize("head_dim", [8, 6, 1])
def test_int8_is_off_by_half_a_step_of_each_token_and_head(head_dim):
    layer = layer_of(torch.int8, head_dim)
    k_TKD, v_TKD = torch.randn(2, 3, 2, head_dim) * torch.tensor([1.0, 30.0])[:, None]
    slots = torch.tensor([7, 0, 11])

    store_kv(k_TKD, v_TKD, layer, slots)

    for expected, found in zip((k_TKD, v_TKD), load_kv(layer, slots, torch.float32), strict=True):
        step_TK1 = expected.abs().amax(dim=-1, keepdim=True) / 127
        assert ((found - expected).abs() <= 0.501 * step_TK1).all()
    assert not any(tensor[[1, 5, 10]].any() for tensor in layer if tensor is not None)


def test_rows_without_a_scale_are_zeros_or_no_numbers():
    x_TKD = torch.zeros(4, 1, 3)
    x_TKD[1, 0, 1], x_TKD[2, 0, 1], x_TKD[3, 0, 1] = 1e-35, torch.inf, torch.nan

    codes_TKD, scale_TK = quantize(x_TKD)

    assert not codes_TKD.any()
    torch.testing.assert_close(
        scale_TK[:, 0], torch.tensor([0.0, 0.0, torch.nan, torch.nan]), equal_nan=True
    )


def test_fp8_rounds_to_even_and_ends_at_448():
    layer = layer_of(torch.float8_e4m3fn, 6)
    given = torch.tensor([17.0, 19.0, 500.0, -torch.inf, 2.0**-10, torch.nan])
    x_TKD = given.expand(1, 2, 6)

    store_kv(x_TKD, x_TKD, layer, torch.tensor([3]))

    expected = torch.tensor([16.0, 20.0, 448.0, -448.0, 0.0, torch.nan]).expand(1, 2, 6)
    for found in load_kv(layer, torch.tensor([3]), torch.bfloat16):
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=0, equal_nan=True)
