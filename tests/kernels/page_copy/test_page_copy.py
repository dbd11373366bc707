from __future__ import annotations

import pytest
import torch

from sglite.kernels import triton_support
from sglite.kernels.page_copy import copy_pages
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.kv_pool import KVPool
from tests.kernels.triton_harness import DEVICE

FULL = KVGroup("paged_full", (0, 2))
WINDOW = KVGroup("paged_window", (1,), window=8)
SHAPE = {"page_size": 4, "num_kv_heads": 2, "head_dim": 8}


@pytest.fixture(params=["reference", "triton"])
def implementation(request, monkeypatch):
    if request.param == "triton":
        pytest.importorskip("triton")
    monkeypatch.setattr(triton_support, "runs_on", lambda tensor: request.param == "triton")


def pool_of(dtype: torch.dtype) -> KVPool:
    return KVPool([FULL, WINDOW], [5, 3], dtype=dtype, device=DEVICE, **SHAPE)


def ids(*pages: int, dtype: torch.dtype = torch.int32) -> torch.Tensor:
    return torch.tensor(pages, dtype=dtype, device=DEVICE)


@pytest.mark.parametrize("ids_dtype", [torch.int32, torch.int64], ids=str)
def test_copied_pages_equal_their_sources_in_all_layers_of_the_group(implementation, ids_dtype):
    pool = pool_of(torch.bfloat16)
    for storage in pool.storage:
        storage.copy_(torch.randn(storage.shape))
    before = [storage.clone() for storage in pool.storage]
    copy_pages(pool.storage[0], ids(1, 4, dtype=ids_dtype), ids(3, 0, dtype=ids_dtype))
    assert torch.equal(pool.storage[0][:, :, [3, 0]], before[0][:, :, [1, 4]])
    assert torch.equal(pool.storage[0][:, :, [1, 2, 4]], before[0][:, :, [1, 2, 4]])
    assert torch.equal(pool.storage[1], before[1])


def test_no_pages_to_copy_is_no_work(implementation):
    pool = pool_of(torch.float32)
    copy_pages(pool.storage[1], ids(), ids())
    assert not pool.storage[1].any()


def test_scales_lie_behind_their_codes_and_are_copied_with_the_page(implementation):
    pool = pool_of(torch.int8)
    layer = pool.layer(2)
    layer.k_SKD[4:8], layer.v_SKD[4:8] = 3, -5
    assert layer.k_scale_SK is not None and layer.v_scale_SK is not None
    layer.k_scale_SK[4:8], layer.v_scale_SK[4:8] = 0.25, 8.0
    copy_pages(pool.storage[0], ids(1), ids(3))
    for tensor, value in zip(layer, (3, -5, 0.25, 8.0), strict=True):
        assert tensor is not None
        assert (tensor[12:16] == value).all() and (tensor[4:8] == value).all()
        assert not tensor[:4].any() and not tensor[8:12].any() and not tensor[16:].any()


def test_pages_of_8_bit_floats_are_copied(implementation):
    pool = pool_of(torch.float8_e4m3fn)
    pool.layer(1).v_SKD[4:8] = 1.5
    copy_pages(pool.storage[1], ids(1), ids(2))
    assert (pool.layer(1).v_SKD[8:].float() == 1.5).all()
    assert not pool.layer(1).v_SKD[:4].float().any()


@pytest.mark.parametrize("page_bytes", [3, 10, 20_004, 40_000])
def test_pages_of_any_size_are_copied_whole(implementation, page_bytes):
    storage = torch.randint(256, (2, 2, 4, page_bytes), device=DEVICE).to(torch.uint8)
    expected = storage.clone()
    expected[:, :, [2, 1]] = expected[:, :, [0, 3]]
    copy_pages(storage, ids(0, 3), ids(2, 1))
    assert torch.equal(storage, expected)
