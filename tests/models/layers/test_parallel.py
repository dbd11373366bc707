"""Shares of a rank, and splits that are refused."""

from __future__ import annotations

import pytest
import torch

from sglite.errors import ConfigError
from sglite.models.layers.parallel import TensorParallel


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


def test_one_rank_reduces_to_itself_and_more_cannot_run_yet():
    x = torch.ones(2)

    assert TensorParallel().all_reduce(x) is x
    assert TensorParallel().all_gather(x) is x
    for collective in (TensorParallel(0, 2).all_reduce, TensorParallel(0, 2).all_gather):
        with pytest.raises(ConfigError, match="tp_size 2: only 1 can run"):
            collective(x)


def test_a_rank_outside_its_group_is_our_bug():
    with pytest.raises(AssertionError, match="rank 2 of 2"):
        TensorParallel(2, 2)
