"""Shapes of packed matrices; what is quantised stands where the reference says."""

from __future__ import annotations

import pytest
import torch

from sglite.kernels.cpu import instruction_sets
from sglite.kernels.quantized_linear import QuantizedFormat
from sglite.kernels.quantized_linear.reference import quantize_int4
from sglite.models.packed_matrix import (
    PANEL,
    Matrix,
    MatrixShape,
    QuantizedContext,
    QuantizedMatrix,
)
from tests.kernels.cpu.kernels import extension
from tests.kernels.quantized_linear.layout import packed_bytes

_cpu = extension()


def context() -> QuantizedContext:
    return QuantizedContext(_cpu, instruction_sets()[0])


def test_gate_and_up_fill_panels_of_their_own():
    assert MatrixShape(40, 8).num_panels == 3
    assert MatrixShape(40, 8, is_gated=True).num_panels == 4
    assert MatrixShape(40, 8, bias=True).num_parameters == 360
    bias = MatrixShape(40, 8, bias=True).empty_bias()
    assert bias is not None and bias.shape == (3 * PANEL,)
    assert MatrixShape(40, 8).empty_bias() is None


def test_results_of_a_gated_matrix_are_half_its_outputs():
    assert Matrix.empty(40, 8, torch.float32, is_gated=True).num_results == 20
    assert Matrix.empty(40, 8, torch.float32).num_results == 40


def test_parts_are_quantised_into_their_panels():
    layout = QuantizedFormat(4, 32)
    matrix = QuantizedMatrix.empty_of(MatrixShape(48, 40), layout, context())
    weight = torch.randn(48, 40, generator=torch.Generator().manual_seed(0))
    for start, count in ((32, 16), (0, 32)):
        matrix.pack(_cpu, weight[start : start + count], start, 2)
    expected = packed_bytes(*quantize_int4(weight, 32), layout)
    assert torch.equal(matrix.packed, expected)
    assert matrix.num_bytes == layout.num_bytes(3, 40)


def test_rows_of_one_shape_share_a_place():
    shared = context()
    first = shared.rows((64, 32, 1))
    assert shared.rows((64, 32, 1)) is first and shared.rows((128, 32, 1)) is not first
    assert [tuple(each.shape) for each in first] == [(64, 32), (64,), (64, 1)]


@pytest.mark.parametrize("layout", [QuantizedFormat(8), QuantizedFormat(4, 32)], ids=str)
def test_biases_are_kept_as_they_are(layout):
    shape = MatrixShape(40, 8, bias=True, is_gated=True)
    matrix = QuantizedMatrix.empty_of(shape, layout, context())
    matrix.set_bias(20, torch.arange(20.0))
    assert matrix.bias is not None
    assert torch.equal(matrix.bias[16:32], torch.arange(16.0))
    assert matrix.bias[48:52].tolist() == [16, 17, 18, 19] and not matrix.bias[:16].any()
