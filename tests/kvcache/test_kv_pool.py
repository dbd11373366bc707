"""The pool's tensors: sizes, views, and page copies that touch nothing else."""

from __future__ import annotations

import pytest
import torch

from sglite.kvcache.groups import KVGroup
from sglite.kvcache.kv_pool import KVPool

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
    assert all(tensor.dtype == torch.bfloat16 for tensor in pool.layer(1))


def test_it_starts_at_zero(pool):
    assert not any(storage.any() for storage in pool.storage)


def test_layers_and_k_and_v_do_not_overlap(pool):
    tensors = [tensor for layer in range(3) for tensor in pool.layer(layer)]
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
