from __future__ import annotations

import pytest
import torch

from sglite.bench.gpu_suite.kernel_checks.case import Pair
from tests.bench.gpu_suite.places import REFERENCE, interpreted


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_a_rounding_is_tolerated_and_ten_are_not(dtype):
    expected = torch.ones(3, dtype=dtype)
    step = torch.finfo(dtype).eps
    assert 0 < Pair(expected + step, expected).error <= 1
    tolerated = {torch.float32: 2000, torch.float16: 10, torch.bfloat16: 10}[dtype]
    assert Pair(expected + tolerated * step, expected).error > 1


def test_no_number_is_equal_to_no_number_alone():
    nan = torch.tensor([torch.nan, torch.inf, 1.0])
    assert Pair(nan, nan.clone()).error == 0
    for place, wrong in ((0, 1.0), (1, 1.0), (1, -torch.inf), (2, torch.nan)):
        actual = nan.clone()
        actual[place] = wrong
        assert Pair(actual, nan).error == torch.inf


def test_integers_shapes_and_types_have_to_be_equal():
    ids = torch.tensor([1, 2])
    assert Pair(ids, ids.clone()).error == 0
    assert Pair(ids, ids + 1).error == torch.inf
    assert Pair(torch.ones(2), torch.ones(3)).error == torch.inf
    assert Pair(torch.ones(2), torch.ones(2).half()).error == torch.inf
    assert Pair(torch.ones(0), torch.ones(0)).error == 0


def test_implementation_is_triton_s_or_the_reference():
    assert REFERENCE.implementation("gated").__name__.endswith("gated.reference")
    assert interpreted().implementation("gated").__name__.endswith("gated.triton_gated")
