"""Rows of the sampling state: set, cleared without a trace, gathered."""

from __future__ import annotations

import pytest
import torch

from sglite.request import LogprobParams, SamplingParams
from sglite.sampling import SamplingState
from sglite.sampling.state import FLOAT_FIELDS, INTEGER_FIELDS
from tests.sampling.setups import row_setup

EVERYTHING = SamplingParams(
    temperature=0.7,
    top_k=5,
    top_p=0.8,
    min_p=0.1,
    presence_penalty=1.0,
    frequency_penalty=-1.0,
    repetition_penalty=1.3,
    logit_bias={3: 1.5},
    min_new_tokens=9,
)


def arrays(state: SamplingState) -> list[object]:
    return [
        state.floats.tolist(),
        state.integers.tolist(),
        list(state.setups),
        list(state.count_slots),
        state.counts.counts_SV.tolist(),
        state.counts.num_held,
    ]


def full_setup(row: int):
    return row_setup(
        row,
        EVERYTHING,
        LogprobParams(top_num=2, token_ids=(1,)),
        seed=-5,
        stop_token_ids=(2,),
        output_token_ids=(4, 4),
    )


def test_clearing_a_row_leaves_the_state_as_new():
    state = SamplingState(4, 10, "cpu")
    fresh = arrays(state)
    state.set_row(full_setup(2))
    assert all(now != before for now, before in zip(arrays(state), fresh, strict=True))
    state.clear_row(2)
    assert arrays(state) == fresh


def test_setting_a_row_again_leaves_nothing_of_the_last_request():
    used, fresh = SamplingState(4, 10, "cpu"), SamplingState(4, 10, "cpu")
    used.set_row(full_setup(1))
    plain = row_setup(1, seed=8)
    used.set_row(plain)
    fresh.set_row(plain)
    assert arrays(used) == arrays(fresh)
    assert not used.batch([1]).adjusts_logits


def test_clearing_a_free_row_does_nothing():
    state = SamplingState(2, 10, "cpu")
    fresh = arrays(state)
    state.clear_row(1)
    assert arrays(state) == fresh


def test_values_lie_in_their_documented_places():
    state = SamplingState(4, 10, "cpu")
    state.set_row(full_setup(3))
    floats = dict(zip(FLOAT_FIELDS, state.floats[:, 3].tolist(), strict=True))
    assert floats == pytest.approx(
        {
            "temperature": 0.7,
            "top_p": 0.8,
            "min_p": 0.1,
            "presence": 1.0,
            "frequency": -1.0,
            "repetition": 1.3,
        }
    )
    assert dict(zip(INTEGER_FIELDS, state.integers[:, 3].tolist(), strict=True)) == {
        "seed": -5,
        "top_k": 5,
    }


def test_top_k_that_filters_nothing_is_the_vocabulary():
    state = SamplingState(2, 10, "cpu")
    state.set_row(row_setup(0, SamplingParams(top_k=-1)))
    state.set_row(row_setup(1, SamplingParams(top_k=2**31 - 1)))
    assert state.integers[1].tolist() == [10, 10]


def test_batch_is_kept_until_rows_or_parameters_change():
    state = SamplingState(4, 10, "cpu")
    state.set_row(row_setup(0))
    state.set_row(row_setup(1))
    batch = state.batch([0, 1])
    assert state.batch([0, 1]) is batch
    assert state.batch([1, 0]) is not batch
    state.set_row(row_setup(1, SamplingParams(temperature=0.25)))
    assert state.batch([1, 0]).temperature_R.tolist() == [0.25, 1.0]


def test_batches_of_some_of_the_rows_are_kept_beside_each_other_but_not_without_end():
    state = SamplingState(8, 10, "cpu")
    for row in range(8):
        state.set_row(row_setup(row))
    whole = state.batch([0, 1, 2])
    assert state.batch([1]) is state.batch([1])
    assert state.batch([0, 1, 2]) is whole
    for row in range(8):
        state.batch([row])
    assert state.batch([0, 1, 2]) is not whole


def test_changing_the_callers_list_does_not_change_the_kept_batch():
    state = SamplingState(4, 10, "cpu")
    state.set_row(row_setup(0))
    state.set_row(row_setup(1, SamplingParams(temperature=0.5)))
    rows = [0]
    state.batch(rows)
    rows[0] = 1
    assert state.batch(rows).temperature_R.tolist() == [0.5]


def test_sampling_a_free_row_is_a_fault_of_ours():
    with pytest.raises(AssertionError, match="row 3"):
        SamplingState(4, 10, "cpu").batch([3])


def test_only_rows_with_penalties_are_counted():
    state = SamplingState(4, 10, "cpu")
    state.set_row(row_setup(0, SamplingParams(temperature=0.3)))
    assert state.counts.num_held == 0
    for row, name in enumerate(["presence_penalty", "frequency_penalty", "repetition_penalty"]):
        state.set_row(row_setup(row, SamplingParams(**{name: 0.5})))
    assert state.counts.num_held == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", 1.7e308), ("top_p", 5e-324), ("repetition_penalty", 5e-324)],
)
def test_extreme_values_stay_positive_and_finite_in_fp32(name, value):
    state = SamplingState(1, 10, "cpu")
    state.set_row(row_setup(0, SamplingParams(**{name: value})))
    stored = state.floats[FLOAT_FIELDS.index(name.removesuffix("_penalty")), 0]
    assert 0 < stored <= torch.finfo(torch.float32).max
