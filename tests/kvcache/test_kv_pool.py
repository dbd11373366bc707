"""The pool's tensors: sizes, views, and page copies that touch nothing else."""

from __future__ import annotations

import pytest
import torch

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


def test_copied_pages_equal_their_sources_in_all_layers_of_the_group(pool):
    for storage in pool.storage:
        storage.copy_(torch.randn(storage.shape))
    before = [storage.clone() for storage in pool.storage]

    pool.copy_pages(0, [1, 4], [3, 0])

    assert torch.equal(pool.storage[0][:, :, [3, 0]], before[0][:, :, [1, 4]])
    assert torch.equal(pool.storage[0][:, :, [1, 2, 4]], before[0][:, :, [1, 2, 4]])
    assert torch.equal(pool.storage[1], before[1])


def test_no_pages_to_copy_is_no_work(pool):
    pool.copy_pages(1, [], [])

    assert not pool.storage[1].any()


def test_a_page_that_is_both_source_and_target_is_our_bug(pool):
    with pytest.raises(AssertionError, match="both copied and overwritten"):
        pool.copy_pages(0, [1, 2], [2, 3])


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


def test_scales_lie_behind_their_codes_and_are_copied_with_the_page():
    pool = KVPool([FULL, WINDOW], [5, 3], dtype=torch.int8, **SHAPE)
    layer = pool.layer(2)
    assert layer.k_scale_SK is not None and layer.v_scale_SK is not None
    layer.k_SKD[4:8], layer.v_SKD[4:8] = 3, -5
    layer.k_scale_SK[4:8], layer.v_scale_SK[4:8] = 0.25, 8.0
    assert layer.k_SKD.shape == (20, 2, 8) and layer.k_scale_SK.shape == (20, 2)

    pool.copy_pages(0, [1], [3])

    for tensor, value in zip(layer, (3, -5, 0.25, 8.0), strict=True):
        assert tensor is not None
        assert (tensor[12:16] == value).all() and (tensor[4:8] == value).all()
        assert not tensor[:4].any() and not tensor[8:12].any() and not tensor[16:].any()


def test_pages_of_8_bit_floats_are_copied():
    pool = KVPool([WINDOW], [3], dtype=torch.float8_e4m3fn, **SHAPE)
    pool.layer(1).v_SKD[4:8] = 1.5

    pool.copy_pages(0, [1], [2])

    assert (pool.layer(1).v_SKD[8:].float() == 1.5).all()
    assert not pool.layer(1).v_SKD[:4].float().any()


def test_a_type_has_the_name_of_its_option():
    assert resolve_kv_dtype("auto", torch.float16) is torch.float16
    assert resolve_kv_dtype("fp8_e4m3", torch.float32) is torch.float8_e4m3fn
    assert kv_dtype_name(torch.float8_e4m3fn) == "fp8_e4m3"
    assert kv_dtype_name(torch.float16) == "float16"
