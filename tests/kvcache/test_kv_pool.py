"""The pool's tensors: sizes and views."""

from __future__ import annotations

import pytest
import torch

from sglite.kernels.page_copy import copy_pages
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.kv_pool import KVPool, kv_dtype_name, resolve_kv_dtype, row_bytes

FULL = KVGroup("paged_full", (0, 2))
WINDOW = KVGroup("paged_window", (1,), window=8)
SHAPE = {"page_size": 4, "num_kv_heads": 2, "head_dim": 8}


@pytest.fixture
def pool() -> KVPool:
    return KVPool([FULL, WINDOW], [5, 3], dtype=torch.bfloat16, **SHAPE)


def test_every_layer_has_slots_for_its_groups_pages(pool):
    assert [pool.layer(layer).k_SKD.shape for layer in range(3)] == [
        (20, 2, 8),
        (12, 2, 8),
        (20, 2, 8),
    ]
    assert all(tensor.dtype == torch.bfloat16 for tensor in pool.layer(1)[:2])


def test_a_spare_page_lies_behind_those_of_the_allocators(pool):
    spacious = KVPool([FULL, WINDOW], [5, 3], dtype=torch.bfloat16, has_spare_page=True, **SHAPE)
    assert [spacious.spare_page(group) for group in range(2)] == [5, 3]
    assert [spacious.layer(layer).k_SKD.shape[0] for layer in range(3)] == [24, 16, 24]
    with pytest.raises(AssertionError, match="without a spare page"):
        pool.spare_page(0)


def test_a_stage_stores_its_layers_alone():
    stage = KVPool([FULL, WINDOW], [5, 3], dtype=torch.bfloat16, layers=range(2, 3), **SHAPE)
    assert [tuple(storage.shape[:3]) for storage in stage.storage] == [(1, 2, 5), (0, 2, 3)]
    assert stage.layer(2).k_SKD.shape == (20, 2, 8)
    sizes = [
        KVPool.bytes_per_page(group, dtype=torch.bfloat16, layers=range(2, 3), **SHAPE)
        for group in stage.groups
    ]
    assert sizes == [2 * 4 * 2 * 8 * 2, 0] and stage.num_bytes == 5 * sizes[0]
    for storage in stage.storage:  # also of a group that has no layer here
        copy_pages(storage, torch.tensor([0]), torch.tensor([1]))


def test_it_starts_at_zero(pool):
    assert not any(storage.any() for storage in pool.storage)


def test_layers_and_k_and_v_do_not_overlap(pool):
    tensors = [tensor for layer in range(3) for tensor in pool.layer(layer)[:2]]
    for value, tensor in enumerate(tensors):
        tensor.fill_(value)

    assert [tensor.unique().tolist() for tensor in tensors] == [[value] for value in range(6)]


def test_a_slot_is_page_times_page_size_plus_offset(pool):
    pool.layer(2).v_SKD[3 * 4 + 1] = 7

    assert (pool.storage[0][1, 1, 3, 1] == 7).all()


def test_bytes_per_page_adds_up_to_the_pool(pool):
    sizes = [KVPool.bytes_per_page(group, dtype=torch.bfloat16, **SHAPE) for group in pool.groups]

    assert sizes == [2 * 2 * 4 * 2 * 8 * 2, 1 * 2 * 4 * 2 * 8 * 2]
    assert pool.num_bytes == 5 * sizes[0] + 3 * sizes[1]


@pytest.mark.parametrize(
    ("dtype", "row"),
    [(torch.float32, 256), (torch.bfloat16, 128), (torch.int8, 68), (torch.float8_e4m3fn, 64)],
    ids=str,
)
@pytest.mark.parametrize("layout", ["token", "block"])
def test_narrow_types_take_a_half_and_a_quarter(dtype, row, layout):
    shape = {"page_size": 16, "num_kv_heads": 2, "head_dim": 64}
    pool = KVPool([FULL], [5], dtype=dtype, layout=layout, **shape)

    assert row_bytes(dtype, 64) == row
    assert pool.num_bytes == 5 * 2 * 2 * 16 * 2 * row
    assert pool.num_bytes == 5 * KVPool.bytes_per_page(FULL, dtype=dtype, **shape)


def test_scales_lie_behind_their_codes():
    pool = KVPool([FULL, WINDOW], [5, 3], dtype=torch.int8, **SHAPE)
    layer = pool.layer(2)
    assert layer.k_scale_SK is not None and layer.v_scale_SK is not None
    assert layer.k_SKD.shape == (20, 2, 8) and layer.k_scale_SK.shape == (20, 2)
    layer.k_SKD[4], layer.k_scale_SK[4] = 3, 0.25
    assert pool.storage[0][1, 0, 1, 0, 0].tolist()[:8] == [3] * 8
    assert pool.storage[0][1, 0, 1, 0, 0, 8:].view(torch.float32).tolist() == [0.25]


def test_a_type_has_the_name_of_its_option():
    assert resolve_kv_dtype("auto", torch.float16) is torch.float16
    assert resolve_kv_dtype("fp8_e4m3", torch.float32) is torch.float8_e4m3fn
    assert kv_dtype_name(torch.float8_e4m3fn) == "fp8_e4m3"
    assert kv_dtype_name(torch.float16) == "float16"
