from __future__ import annotations

import pytest
import torch

from sglite.kernels import triton_support
from sglite.kernels.rotary_store import HeadNorms, Rotation, rotary_store
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.kv_pool import KVPool

KV_DTYPES = [torch.float32, torch.bfloat16, torch.int8]


@pytest.fixture(params=["reference", "triton"], autouse=True)
def implementation(request, monkeypatch):
    """Each of the two, whatever the device."""
    if request.param == "triton":
        pytest.importorskip("triton")
        monkeypatch.setattr(triton_support, "runs_on", lambda tensor: True)


@pytest.mark.parametrize("kv_dtype", KV_DTYPES, ids=str)
def test_a_quarter_turn_swaps_the_halves_of_queries_and_keys_and_leaves_values(kv_dtype):
    pool = KVPool(
        [KVGroup("paged_full", (0,))], [2], page_size=4, num_kv_heads=1, head_dim=4, dtype=kv_dtype
    )
    qkv = torch.tensor([[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [9.0, 10.0, 11.0, 12.0]]])
    quarter = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    rotation = Rotation(quarter, torch.zeros(1, dtype=torch.int64))
    layer = pool.layer(0)
    q = rotary_store(qkv, 1, rotation, layer, torch.tensor([6]))
    assert q.tolist() == [[[-3.0, -4.0, 1.0, 2.0]]]
    if kv_dtype == torch.int8:
        assert layer.k_scale_SK[6].item() == pytest.approx(8 / 127)
    else:
        assert layer.k_SKD[6].tolist() == [[-7.0, -8.0, 5.0, 6.0]]
        assert layer.v_SKD[6].tolist() == [[9.0, 10.0, 11.0, 12.0]]
    assert layer.k_SKD[:6].count_nonzero() == 0


def test_queries_and_keys_are_normalised_first_and_values_are_not():
    pool = KVPool(
        [KVGroup("paged_full", (0,))],
        [1],
        page_size=2,
        num_kv_heads=1,
        head_dim=2,
        dtype=torch.float32,
    )
    qkv = torch.tensor([[[3.0, 4.0], [6.0, 8.0], [5.0, 5.0]]])
    still = Rotation(torch.tensor([[1.0, 0.0]]), torch.zeros(1, dtype=torch.int64))
    norms = HeadNorms(torch.tensor([1.0, 1.0]), torch.tensor([10.0, 10.0]), 1e-12)
    layer = pool.layer(0)
    q = rotary_store(qkv, 1, still, layer, torch.tensor([0]), norms=norms)
    unit = torch.tensor([3.0, 4.0]) / 12.5**0.5
    torch.testing.assert_close(q[0, 0], unit)
    torch.testing.assert_close(layer.k_SKD[0, 0], 10 * unit)
    assert layer.v_SKD[0, 0].tolist() == [5.0, 5.0]
