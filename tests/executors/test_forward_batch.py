"""``check`` notices every way in which a batch can contradict its own table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sglite.executors.forward_batch import AttentionMetadata, ForwardBatch, HostDraws


def make_batch() -> ForwardBatch:
    """Two runs, of one and of two tokens."""
    metadata = AttentionMetadata(
        page_table_RP=torch.tensor([[1, 2], [3, 0]], dtype=torch.int32),
        out_slots_T=torch.tensor([9, 12, 13]),
        run_offsets=[0, 1, 3],
        seq_lens=[6, 2],
        seq_lens_R=torch.tensor([6, 2], dtype=torch.int32),
        page_size=4,
        window=None,
    )
    return ForwardBatch(torch.tensor([5, 6, 7]), torch.tensor([5, 0, 1]), [metadata], [0])


def negative_id(batch: ForwardBatch) -> None:
    batch.input_ids_T[0] = -1


def id_beyond_the_vocabulary(batch: ForwardBatch) -> None:
    batch.input_ids_T[2] = 10


def narrow_ids(batch: ForwardBatch) -> None:
    batch.input_ids_T = batch.input_ids_T.int()


def positions_missing(batch: ForwardBatch) -> None:
    batch.positions_T = batch.positions_T[:2]


def offsets_short(batch: ForwardBatch) -> None:
    batch.attention[0].run_offsets = [0, 1, 2]


def offsets_late(batch: ForwardBatch) -> None:
    batch.attention[0].run_offsets = [1, 1, 3]


def run_without_length(batch: ForwardBatch) -> None:
    batch.attention[0].seq_lens = [6]


def row_missing(batch: ForwardBatch) -> None:
    batch.attention[0].page_table_RP = batch.attention[0].page_table_RP[:1]


def slot_missing(batch: ForwardBatch) -> None:
    batch.attention[0].out_slots_T = batch.attention[0].out_slots_T[:2]


def slot_twice(batch: ForwardBatch) -> None:
    batch.attention[0].out_slots_T[2] = 12


DAMAGES = [
    negative_id,
    id_beyond_the_vocabulary,
    narrow_ids,
    positions_missing,
    offsets_short,
    offsets_late,
    run_without_length,
    row_missing,
    slot_missing,
    slot_twice,
]


def test_a_sound_batch_passes() -> None:
    make_batch().check(vocab_size=10)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_noticed(damage: Callable[[ForwardBatch], None]) -> None:
    batch = make_batch()
    damage(batch)
    with pytest.raises(AssertionError):
        batch.check(vocab_size=10)


def test_draws_have_parameters_and_are_of_samples_that_there_are() -> None:
    batch = make_batch().on_host()
    batch.sample_tokens = np.array([0, 2], dtype=np.int32)
    parameters = np.ones((3, 2), dtype=np.float32), np.ones((3, 2), dtype=np.int64)
    both = np.array([0, 1], dtype=np.int32)
    batch.draws = HostDraws(both, *parameters)
    batch.check(vocab_size=10)
    batch.draws = HostDraws(both[:0])
    batch.check(vocab_size=10)
    for samples, complaint in (([0], "per draw"), ([0, 2], "no such"), ([1, 1], "twice")):
        batch.draws = HostDraws(np.array(samples, dtype=np.int32), *parameters)
        with pytest.raises(AssertionError, match=complaint):
            batch.check(vocab_size=10)
