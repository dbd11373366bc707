"""The specification itself: what the integers of rows and weights stand for."""

from __future__ import annotations

import pytest
import torch

from sglite.kernels.quantized_linear.reference import (
    quantize_int4,
    quantize_int8,
    quantize_rows,
    quantized_linear,
)

WEIGHT = torch.randn(24, 192, generator=torch.Generator().manual_seed(1))


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_rows_are_off_by_half_a_step_at_most():
    codes, scales = quantize_rows(WEIGHT)
    misses = (codes * scales[:, None] - WEIGHT).abs()
    assert codes.abs().amax(dim=1).eq(127).all()
    assert (misses <= 0.5001 * scales[:, None]).all()


def test_rows_of_zeros_and_of_what_is_no_number():
    rows = torch.tensor([[0.0, 0.0], [1e-38, 0.0], [1.0, torch.nan], [torch.inf, 1.0], [2.0, 1.0]])
    codes, scales = quantize_rows(rows)
    assert codes.tolist() == [[0, 0], [0, 0], [0, 0], [0, 0], [127, 64]]
    assert scales[:2].tolist() == [0, 0] and scales[2:4].isnan().all()


def test_eight_bits_have_a_scale_per_output():
    codes, scales = quantize_int8(WEIGHT)
    assert codes.dtype == torch.uint8 and scales.shape == (24, 1)
    assert relative_error((codes.float() - 128) * scales, WEIGHT) < 0.01


@pytest.mark.parametrize("group_size", [32, 64, 128])
def test_four_bits_have_a_scale_per_group(group_size):
    codes, scales = quantize_int4(WEIGHT, group_size)
    assert int(codes.max()) <= 15 and scales.dtype == torch.bfloat16
    assert codes.shape[1] == scales.shape[1] * group_size >= 192
    weights = (codes.float() - 8).unflatten(1, (-1, group_size)) * scales.float()[..., None]
    assert relative_error(weights.flatten(1)[:, :192], WEIGHT) < 0.12
    assert not weights.flatten(1)[:, 192:].any()


def test_clipping_is_chosen_where_it_loses_less():
    weights = torch.linspace(-1, 1, 128)[None].clone()
    weights[0, 5] = 2.5
    codes, scales = quantize_int4(weights, 128)
    found = (codes.float() - 8) * scales.float()
    unclipped = (weights / (2.5 / 8)).round().clamp(-8, 7) * (2.5 / 8)
    assert float(found[0, 5]) < 2.4
    assert (found - weights).norm() < 0.95 * (unclipped - weights).norm()


def test_scale_is_negative_where_only_that_reaches_the_largest_weight():
    # 7 codes above zero and 8 below: the longer side goes where the weights are.
    weights = torch.arange(9).repeat(4)[None, :32].float()
    codes, scales = quantize_int4(weights, 32)
    assert float(scales[0, 0]) == -1.0
    assert torch.equal((codes.float() - 8) * scales.float(), weights)


@pytest.mark.parametrize("bits", [8, 4])
def test_the_product_is_close_to_that_of_the_numbers(bits):
    x = torch.randn(5, 192, generator=torch.Generator().manual_seed(2))
    codes, scales = quantize_int8(WEIGHT) if bits == 8 else quantize_int4(WEIGHT, 32)
    found = quantized_linear(x, codes, scales, zero=128 if bits == 8 else 8)
    assert relative_error(found, x @ WEIGHT.T) < {8: 0.015, 4: 0.1}[bits]
