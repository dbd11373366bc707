"""Shares of a rank, and splits that are refused."""

from __future__ import annotations

import pytest
import torch

from sglite.distributed.layout import RankLayout
from sglite.errors import ConfigError
from sglite.models.layers.parallel import ModelShare, TensorParallel


def test_a_share_is_the_even_part():
    assert TensorParallel(1, 4).split(12, "heads") == 3


def test_an_uneven_share_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"tp_size 4 does not divide heads \(6\)"):
        TensorParallel(0, 4).split(6, "heads")


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1, [(0, 4)]), (2, [(0, 2), (2, 2)]), (8, [(head, 1) for head in (0, 0, 1, 1, 2, 2, 3, 3)])],
)
def test_kv_heads_are_split_or_else_copied(size, expected):
    assert [TensorParallel(rank, size).kv_heads(4) for rank in range(size)] == expected


@pytest.mark.parametrize(("size", "num_kv_heads"), [(3, 4), (6, 4)])
def test_kv_heads_that_fit_neither_way_are_refused_by_name(size, num_kv_heads):
    with pytest.raises(ConfigError, match="num_key_value_heads"):
        TensorParallel(0, size).kv_heads(num_kv_heads)


def test_what_does_not_divide_is_padded_and_the_last_ranks_have_less_of_it():
    ranks = [TensorParallel(rank, 4) for rank in range(4)]

    assert [rank.padded_split(9) for rank in ranks] == [3] * 4
    assert [list(rank.padded_range(9)) for rank in ranks] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], []]
    assert [len(rank.padded_range(8)) for rank in ranks] == [2] * 4


def test_one_rank_reduces_to_itself():
    x = torch.ones(2)

    assert TensorParallel().all_reduce(x) is x
    assert TensorParallel().gather(x) is x


def test_the_ranks_of_a_stage_split_its_layers():
    first, last = (ModelShare.of(RankLayout(2, 2), rank, 5) for rank in (1, 2))

    assert (first.tp.rank, first.tp.size, first.layers) == (1, 2, range(3))
    assert (last.tp.rank, last.mlp.size, last.layers) == (0, 2, range(3, 5))
    assert [first.is_first_stage, first.is_last_stage] == [True, False]
    assert [last.is_first_stage, last.is_last_stage] == [False, True]
    assert not first.has_lanes and not last.is_whole


def test_lanes_split_the_mlps_alone():
    lane = ModelShare.of(RankLayout(2, 1, num_lanes=2), 1, 5)

    assert (lane.tp.size, lane.mlp.rank, lane.mlp.size) == (1, 1, 2)
    assert lane.has_lanes and not lane.is_whole and lane.layers is None
    assert ModelShare.of(RankLayout(), 0, 5) == ModelShare()
    assert ModelShare().is_whole


def test_a_rank_outside_its_group_is_our_bug():
    with pytest.raises(AssertionError, match="rank 2 of 2"):
        TensorParallel(2, 2)
