"""Count tables: lazily made, exact, zeroed on the way back."""

from __future__ import annotations

import pytest
import torch

from sglite.sampling.counts import OutputCounts

VOCAB = 16


@pytest.fixture
def counts() -> OutputCounts:
    return OutputCounts(VOCAB, torch.device("cpu"))


def test_no_memory_is_held_without_penalties(counts):
    assert counts.counts_SV.numel() == 0


def test_slot_starts_with_the_output_so_far(counts):
    slot = counts.acquire([3, 3, 5])
    expected = torch.zeros(VOCAB, dtype=torch.int32)
    expected[3], expected[5] = 2, 1
    assert torch.equal(counts.counts_SV[slot], expected)


def test_growing_keeps_what_was_counted(counts):
    slots = [counts.acquire([i] * (i + 1)) for i in range(11)]
    assert len(set(slots)) == 11 == counts.num_held
    for i, slot in enumerate(slots):
        assert counts.counts_SV[slot].sum() == counts.counts_SV[slot, i] == i + 1


def test_add_counts_valid_rows_only(counts):
    slots = torch.tensor([counts.acquire([]), counts.acquire([])])
    counts.add(slots, torch.tensor([7, 7]), torch.tensor([True, False]))
    assert counts.counts_SV[slots, 7].tolist() == [1, 0]


def test_released_slot_comes_back_empty(counts):
    kept = counts.acquire([1])
    slot = counts.acquire([2, 2])
    counts.release(slot)
    assert not counts.counts_SV[slot].any()
    assert counts.acquire([]) == slot
    assert counts.counts_SV[kept, 1] == 1


def test_last_release_frees_the_memory(counts):
    slots = [counts.acquire([]) for _ in range(5)]
    for slot in slots:
        counts.release(slot)
    assert counts.counts_SV.shape == (0, VOCAB)
    assert counts.acquire([4]) in range(4)
    assert counts.num_held == 1


def test_double_release_is_noticed(counts):
    counts.acquire([])
    slot = counts.acquire([])
    counts.release(slot)
    with pytest.raises(AssertionError, match="released twice"):
        counts.release(slot)
