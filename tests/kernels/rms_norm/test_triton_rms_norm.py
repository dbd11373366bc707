from __future__ import annotations

import pytest
import torch

from sglite.kernels.rms_norm import reference
from tests.kernels.triton_harness import DEVICE, DTYPES, assert_close

triton_rms_norm = pytest.importorskip("sglite.kernels.rms_norm.triton_rms_norm")

SHAPES = [(1, 1), (3, 7), (2, 16), (5, 63), (1, 1025), (0, 8)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_norm_is_the_reference_s(shape, dtype):
    x = torch.randn(shape, device=DEVICE).mul(3).to(dtype)
    weight = torch.randn(shape[1], device=DEVICE).to(dtype)
    assert_close(triton_rms_norm.rms_norm(x, weight, 1e-6), reference.rms_norm(x, weight, 1e-6))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_sum_goes_into_the_stream_and_its_norm_comes_out(shape, dtype):
    hidden, delta = (torch.randn(shape, device=DEVICE).to(dtype) for _ in range(2))
    weight = torch.randn(shape[1], device=DEVICE).to(dtype)
    theirs = hidden.clone()
    expected = reference.add_rms_norm(theirs, delta, weight, 1e-5)
    actual = triton_rms_norm.add_rms_norm(hidden, delta, weight, 1e-5)
    assert_close(actual, expected)
    assert torch.equal(hidden, theirs)


def test_rows_that_lie_apart_are_read_in_their_places():
    wide = torch.randn(4, 40, device=DEVICE)
    weight = torch.ones(16, device=DEVICE)
    x = wide[:, 8:24]
    assert_close(triton_rms_norm.rms_norm(x, weight, 0.0), reference.rms_norm(x, weight, 0.0))


def test_a_row_of_zeros_stays_zero_and_a_nan_stays_in_its_row():
    x = torch.zeros(2, 8, device=DEVICE)
    x[1, 3] = torch.nan
    out = triton_rms_norm.rms_norm(x, torch.ones(8, device=DEVICE), 1e-6)
    assert torch.equal(out[0], torch.zeros(8, device=DEVICE))
    assert out[1].isnan().all()
