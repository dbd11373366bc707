"""Packed masks: which bits belong to which tokens, and whose they are."""

from __future__ import annotations

import pytest
import torch

from sglite.sampling.masks import RowMasks, TokenMasks
from tests.sampling.setups import packed

CPU = torch.device("cpu")
INF = float("inf")


def masks_of(words: list[list[int]], entries: list[int]) -> TokenMasks:
    return TokenMasks(entries, torch.tensor(words, dtype=torch.int32))


def test_bit_of_a_word_is_a_token():
    row_masks = RowMasks(masks_of([[1 | 1 << 9, 4], [-(2**31), 0]], [0, 1]), 2, CPU)
    legal = row_masks.unpack(slice(0, 2), 35)
    assert legal.nonzero().tolist() == [[0, 0], [0, 9], [0, 34], [1, 31]]


@pytest.mark.parametrize("vocab_size", [1, 31, 32, 33, 1000, 4096])
def test_unpacking_gives_what_was_packed(vocab_size):
    legal = torch.rand(7, vocab_size) < 0.5
    row_masks = RowMasks(packed(legal), 7, CPU)
    assert torch.equal(row_masks.unpack(slice(0, 7), vocab_size), legal)
    assert torch.equal(row_masks.unpack(slice(2, 5), vocab_size), legal[2:5])


# At 300,000 tokens one row is worked on at a time.
@pytest.mark.parametrize("vocab_size", [33, 300_001])
@pytest.mark.parametrize("rows", [[0, 1, 2], [0, 2], [1]])
def test_only_masked_rows_are_changed(rows, vocab_size):
    logits = torch.randn(3, vocab_size)
    legal = torch.rand(len(rows), vocab_size) < 0.5
    expected = logits.clone()
    for row, mask in zip(rows, legal, strict=True):
        expected[row, ~mask] = -INF
    RowMasks(packed(legal, rows), 3, CPU).hide_illegal(logits)
    assert torch.equal(logits, expected)


def test_selected_masks_are_numbered_by_place():
    masks = masks_of([[10], [11], [12]], [1, 4, 6])
    chosen = masks.select([0, 4, 5, 6])
    assert chosen is not None
    assert (chosen.entries, chosen.words_MW.tolist()) == ([1, 3], [[11], [12]])
    assert masks.words_of([1, 6]).tolist() == [[10], [12]]


def test_no_mask_among_the_selected_is_none():
    assert masks_of([[10]], [3]).select([0, 2, 4]) is None


def test_selecting_every_mask_copies_nothing():
    masks = masks_of([[10], [11]], [1, 3])
    chosen = masks.select([0, 1, 3])
    assert chosen is not None
    assert chosen.entries == [1, 2]
    assert chosen.words_MW is masks.words_MW is masks.words_of([1, 3])
