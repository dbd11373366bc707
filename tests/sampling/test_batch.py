"""What the host knows of a step's rows."""

from __future__ import annotations

import pytest
import torch

from sglite.request import LogprobParams, SamplingParams
from sglite.sampling import SamplingState
from sglite.sampling.batch import RowSelection
from tests.sampling.setups import row_setup

CPU = torch.device("cpu")


def batch_of(*setups, vocab_size: int = 50):
    state = SamplingState(len(setups), vocab_size, "cpu")
    for setup in setups:
        state.set_row(setup)
    return state.batch([setup.row for setup in setups])


def test_every_row_draws_in_exactly_one_way():
    batch = batch_of(
        row_setup(0, SamplingParams(temperature=0)),
        row_setup(1, SamplingParams(temperature=0.5)),
        row_setup(2, SamplingParams(top_k=4)),
        row_setup(3, SamplingParams(top_p=0.4)),
        row_setup(4, SamplingParams(min_p=0.4)),
        row_setup(5, SamplingParams(top_k=1)),
    )
    assert batch.greedy.indices == [0, 5]
    assert batch.plain.indices == [1]
    assert batch.filtered.indices == [2, 3, 4]
    assert batch.max_top_k == 50


def test_small_top_k_bounds_the_candidates():
    setups = [row_setup(i, SamplingParams(top_k=k)) for i, k in enumerate((20, 4))]
    assert batch_of(*setups).max_top_k == 20


def test_entries_name_the_index_in_the_step_and_not_the_engine_row():
    state = SamplingState(8, 50, "cpu")
    bias = SamplingParams(logit_bias={7: 2.0, 9: -1.0}, min_new_tokens=3)
    state.set_row(row_setup(6, bias, stop_token_ids=(2, 3), num_prompt_tokens=10))
    state.set_row(row_setup(5))
    batch = state.batch([5, 6])
    assert (batch.bias_rows_B.tolist(), batch.bias_ids_B.tolist()) == ([1, 1], [7, 9])
    assert batch.bias_B.tolist() == [2.0, -1.0]
    assert (batch.stop_rows_M.tolist(), batch.stop_ids_M.tolist()) == ([1, 1], [2, 3])
    assert batch.stop_from_M.tolist() == [13, 13]


def test_stop_ids_beyond_the_head_are_left_out():
    setup = row_setup(0, SamplingParams(min_new_tokens=1), stop_token_ids=(2, 50, 151_643))
    assert batch_of(setup).stop_ids_M.tolist() == [2]


def test_bias_beyond_the_vocabulary_never_reaches_another_row():
    with pytest.raises(AssertionError, match="bias beyond vocab"):
        batch_of(row_setup(0, SamplingParams(logit_bias={50: 1.0})))


def test_rows_that_ask_for_logprobs_are_listed():
    setups = [row_setup(i, None, LogprobParams() if i % 2 else None) for i in range(4)]
    assert batch_of(*setups).scored.indices == [1, 3]


def test_selecting_all_rows_makes_views():
    values = torch.arange(5.0)
    chunks = list(RowSelection([0, 1, 2, 3, 4], 5, CPU).chunks(2))
    assert [values[index].tolist() for index, _ in chunks] == [[0, 1], [2, 3], [4]]
    assert values[chunks[0][0]].data_ptr() == values.data_ptr()


def test_selecting_some_rows_names_them():
    values = torch.arange(5.0)
    chunks = list(RowSelection([1, 3, 4], 5, CPU).chunks(2))
    assert [values[index].tolist() for index, _ in chunks] == [[1, 3], [4]]
    assert [part for _, part in chunks] == [slice(0, 2), slice(2, 3)]
    assert list(RowSelection([], 5, CPU).chunks(2)) == []


def test_rows_that_need_more_than_a_draw_are_listed_once():
    batch = batch_of(
        row_setup(0),
        row_setup(1, SamplingParams(presence_penalty=1.0, logit_bias={7: 2.0, 9: -1.0})),
        row_setup(2, SamplingParams(min_new_tokens=3), stop_token_ids=(2, 3)),
        row_setup(3, SamplingParams(temperature=0), LogprobParams()),
        row_setup(4, SamplingParams(min_new_tokens=3)),
    )
    assert batch.adjusted_or_scored == [1, 2, 3]


def test_draws_are_the_parameters_of_the_rows_that_draw():
    batch = batch_of(
        row_setup(0, SamplingParams(temperature=0.5, top_k=4), seed=-3),
        row_setup(1, SamplingParams(temperature=0)),
        row_setup(2, SamplingParams(top_p=0.25, min_p=0.5), seed=2**62),
        row_setup(3, SamplingParams(top_p=0.25), LogprobParams()),
    )
    for positions in ([4, 5, 6, 7], [5, 6, 7, 2**40]):
        draws = batch.draws(positions)
        assert draws is not None
        floats, integers = draws
        assert (floats.dtype, integers.dtype) == ("float32", "int64")
        assert floats[0].tolist() == [0.5, 0.0, 1.0, 0.0]
        assert floats[1:, [0, 2]].tolist() == [[1.0, 0.25], [0.0, 0.5]]
        assert integers[:2, [0, 2]].tolist() == [[-3, 2**62], [4, 50]]
        assert integers[2].tolist() == positions


def test_a_batch_without_a_row_that_draws_has_no_draws():
    greedy = row_setup(0, SamplingParams(temperature=0))
    assert batch_of(greedy, row_setup(1, None, LogprobParams())).draws([4, 4]) is None
