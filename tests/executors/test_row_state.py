from __future__ import annotations

import numpy as np
import pytest
import torch

from sglite.executors.row_state import RowState
from sglite.kvcache.groups import KVGroup
from sglite.request import SamplingParams
from sglite.scheduler.plan import PageUpdates, RowSetup, StepPlan

GROUPS = (KVGroup("paged_full", (0,)), KVGroup("paged_window", (1,), window=5))


@pytest.fixture
def rows() -> RowState:
    return RowState(
        GROUPS, [0, 1], max_rows=4, max_pages=8, page_size=4, device=torch.device("cpu")
    )


def setup(row: int, *page_ids: list[int]) -> RowSetup:
    return RowSetup(row, f"r{row}", SamplingParams(), None, 0, (), 3, page_ids, [])


def test_setups_and_updates_fill_the_page_tables(rows: RowState) -> None:
    updates = [PageUpdates([2], [2], [9]), PageUpdates([2, 2], [1, 2], [6, 7])]
    rows.apply(StepPlan(1, 2, added_rows=[setup(2, [5, 6], [0, 3])], page_updates=updates))
    assert rows.pages.tables[0][2].tolist() == [5, 6, 9, 0, 0, 0, 0, 0]
    assert rows.pages.tables[1][2].tolist() == [0, 6, 7, 0, 0, 0, 0, 0]
    assert not rows.pages.tables[0][[0, 1, 3]].any()


def test_a_cleared_row_keeps_nothing_of_its_request(rows: RowState) -> None:
    rows.apply(StepPlan(1, 2, added_rows=[setup(1, [5, 6, 7], [5, 6, 7])]))
    rows.last_token_W[1] = 42
    rows.apply(StepPlan(2, 2, cleared_rows=[1], added_rows=[setup(1, [2], [3])]))
    assert rows.pages.tables[0][1].tolist() == [2, 0, 0, 0, 0, 0, 0, 0]
    assert rows.pages.tables[1][1].tolist() == [3, 0, 0, 0, 0, 0, 0, 0]
    assert rows.last_token_W[1] == 0


def test_a_batch_packs_decodes_and_chunks(rows: RowState) -> None:
    plan = StepPlan(
        1,
        2,
        added_rows=[setup(3, [1, 2], [1, 2]), setup(0, [5, 6, 7], [0, 3, 4])],
        run_rows=[3, 0],
        run_starts=[6, 7],
        run_lengths=[1, 3],
        run_continues=[True, False],
        token_ids=[11, 12, 13],
        sample_runs=[0],
    )
    rows.apply(plan)
    rows.last_token_W[3] = 77
    batch = rows.make_batch(plan)
    batch.check(vocab_size=100)
    assert batch.input_ids_T.tolist() == [77, 11, 12, 13]
    assert batch.positions_T.tolist() == [6, 7, 8, 9]
    assert batch.group_of_layer == [0, 1]
    full, window = batch.attention
    assert full.run_offsets == [0, 1, 4]
    assert full.seq_lens == full.seq_lens_R.tolist() == [7, 10]
    assert full.page_table_RP.tolist() == [[1, 2, 0], [5, 6, 7]]
    assert full.out_slots_T.tolist() == [2 * 4 + 2, 6 * 4 + 3, 7 * 4, 7 * 4 + 1]
    assert (full.window, window.window, full.page_size) == (None, 5, 4)
    assert window.page_table_RP.tolist() == [[1, 2, 0], [0, 3, 4]]
    assert window.out_slots_T.tolist() == [2 * 4 + 2, 3 * 4 + 3, 4 * 4, 4 * 4 + 1]


def test_dtypes_are_those_of_the_contract(rows: RowState) -> None:
    plan = StepPlan(
        1, 2, added_rows=[setup(0, [1], [1])], run_rows=[0], run_starts=[0], run_lengths=[2],
        run_continues=[False], token_ids=[3, 4],
    )  # fmt: skip
    rows.apply(plan)
    batch = rows.make_batch(plan)
    assert batch.input_ids_T.dtype == batch.positions_T.dtype == torch.int64
    assert batch.attention[0].page_table_RP.dtype == torch.int32
    assert batch.attention[0].seq_lens_R.dtype == torch.int32
    assert batch.attention[0].out_slots_T.dtype == torch.int64
    assert rows.pages.tables[0].dtype == np.int32


def test_decodes_alone_take_their_tokens_from_the_device(rows: RowState) -> None:
    plan = StepPlan(
        1, 2, added_rows=[setup(0, [1], [1]), setup(2, [2], [2])], run_rows=[2, 0],
        run_starts=[1, 3], run_lengths=[1, 1], run_continues=[True, True],
    )  # fmt: skip
    rows.apply(plan)
    rows.last_token_W[:] = torch.tensor([10, 11, 12, 13])
    assert rows.make_batch(plan).input_ids_T.tolist() == [12, 10]


def test_a_batch_in_flight_does_not_follow_later_changes(rows: RowState) -> None:
    plan = StepPlan(
        1, 2, added_rows=[setup(0, [1], [1])], run_rows=[0], run_starts=[1], run_lengths=[1],
        run_continues=[True],
    )  # fmt: skip
    rows.apply(plan)
    rows.last_token_W[0] = 5
    batch = rows.make_batch(plan)
    rows.apply(StepPlan(2, 2, cleared_rows=[0]))
    assert batch.input_ids_T.tolist() == [5]
    assert batch.attention[0].page_table_RP.tolist() == [[1]]
    assert batch.attention[0].out_slots_T.tolist() == [5]


def test_continued_runs_must_come_first(rows: RowState) -> None:
    plan = StepPlan(
        1, 2, added_rows=[setup(0, [1], [1]), setup(1, [2], [2])], run_rows=[0, 1],
        run_starts=[0, 1], run_lengths=[2, 1], run_continues=[False, True], token_ids=[1, 2],
    )  # fmt: skip
    rows.apply(plan)
    with pytest.raises(AssertionError, match="continued runs come first"):
        rows.make_batch(plan)
