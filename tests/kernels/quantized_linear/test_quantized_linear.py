"""The compiled kernels against the reference, bit for bit, for each target that runs here."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import pytest
import torch
from torch.nn import functional

from sglite.kernels.cpu import instruction_sets
from sglite.kernels.quantized_linear import PANEL, QuantizedFormat
from sglite.kernels.quantized_linear.reference import (
    quantize_int4,
    quantize_int8,
    quantize_rows,
    quantized_linear,
)
from tests.kernels.cpu.kernels import NUM_THREADS, extension
from tests.kernels.quantized_linear.layout import ZERO, packed_bytes

_cpu = extension()

TARGETS = instruction_sets()
FORMATS = [QuantizedFormat(8), *(QuantizedFormat(4, size) for size in (32, 64, 128))]
SHAPES = [(1, 1), (16, 16), (40, 32), (130, 66), (50, 200), (96, 576)]
ROWS = [1, 2, 3, 5, 6, 7, 12, 13, 33]
WEIGHTS = ["normal", "outliers", "zeros", "one-sided", "heavy-tailed"]
# What is exact for the sums is not so for activations, which have polynomials of their own.
TOLERANCE = 1e-5


class Quantized(NamedTuple):
    """A matrix as the reference and as the extension has it."""

    codes_NK: torch.Tensor
    scales_NG: torch.Tensor
    packed: torch.Tensor
    handle: Any
    layout: QuantizedFormat

    def product(self, x_TK: torch.Tensor) -> torch.Tensor:
        """What the reference says."""
        zero = ZERO[self.layout.bits]
        return quantized_linear(x_TK, self.codes_NK, self.scales_NG, zero=zero)

    @property
    def dequantized(self) -> torch.Tensor:
        """``[N, K]``, with the padding of the last group."""
        group_size = self.codes_NK.shape[1] // self.scales_NG.shape[1]
        scales = self.scales_NG.float().repeat_interleave(group_size, dim=1)
        return (self.codes_NK.float() - ZERO[self.layout.bits]) * scales


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def weight_of(kind: str, outputs: int, inputs: int) -> torch.Tensor:
    weight = random(outputs, inputs)
    if kind == "outliers":
        weight[:, ::7] *= 1000
    elif kind == "zeros":
        weight[::2] = 0
        weight[1:2] *= 1e-36
    elif kind == "one-sided":
        weight = weight.abs() * torch.where(random(outputs, 1) < 0, 1.0, -1.0)
    elif kind == "heavy-tailed":
        weight = weight**5
    return weight


def rows_of(num_rows: int, inputs: int) -> torch.Tensor:
    """Ordinary rows, and one each of zeros, with an outlier, a NaN and an infinity."""
    x = random(num_rows, inputs)
    for row, value in ((2, 1e6), (3, torch.nan), (4, -torch.inf)):
        x[row : row + 1, inputs // 2] = value
    x[1:2] = 0
    return x


def quantized(
    weight: torch.Tensor, layout: QuantizedFormat, target: str, *, first: int = 0, step: int = 1
) -> Quantized:
    """``weight`` packed by the extension into every ``step``-th panel of garbage."""
    outputs, inputs = weight.shape
    if layout.bits == 8:
        codes, scales = quantize_int8(weight)
    else:
        codes, scales = quantize_int4(weight, layout.group_size)
    num_panels = step * -(-outputs // PANEL)
    packed = torch.full((layout.num_bytes(num_panels, inputs),), 0xAB, dtype=torch.uint8)
    handle = _cpu.QuantizedMatrix(packed, inputs, layout.bits, layout.group_size)
    handle.pack(target, weight, first, step, NUM_THREADS)
    return Quantized(codes, scales, packed, handle, layout)


class Codes(NamedTuple):
    """Room for rows as integers."""

    codes: torch.Tensor
    scales: torch.Tensor
    sums: torch.Tensor

    @staticmethod
    def empty(num_rows: int, inputs: int, layout: QuantizedFormat) -> Codes:
        codes = torch.full((num_rows, layout.padded_inputs(inputs)), 77, dtype=torch.int8)
        sums = torch.full((num_rows, layout.num_groups(inputs)), 77, dtype=torch.int32)
        return Codes(codes, torch.full((num_rows,), torch.nan), sums)


def run(
    target: str, matrix: Quantized, x: torch.Tensor, y: torch.Tensor, *last: Any, bias: Any = None
) -> Codes:
    """``y`` becomes the product; returns what the rows became."""
    codes = Codes.empty(*x.shape, matrix.layout)
    program = _cpu.Program(target, NUM_THREADS, [], [], False)
    program.quantize(x, matrix.handle, *codes)
    program.quantized_linear(matrix.handle, bias, *codes, y, y.shape[1], *last)
    program.replay_rows(len(x))
    return codes


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found.nan_to_num(), expected.nan_to_num())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("layout", FORMATS, ids=str)
@pytest.mark.parametrize("target", TARGETS)
def test_weights_are_packed_as_the_reference_says(target, layout, dtype):
    for shape, kind in itertools.product(SHAPES, WEIGHTS):
        matrix = quantized(weight_of(kind, *shape).to(dtype), layout, target)
        assert torch.equal(matrix.packed, packed_bytes(*matrix[:2], layout)), (shape, kind)


@pytest.mark.parametrize("layout", FORMATS, ids=str)
@pytest.mark.parametrize("target", TARGETS)
def test_products_are_the_reference_bit_for_bit(target, layout):
    for (outputs, inputs), kind in itertools.product(SHAPES, WEIGHTS):
        matrix = quantized(weight_of(kind, outputs, inputs), layout, target)
        for num_rows in ROWS:
            x, y = rows_of(num_rows, inputs), torch.full((num_rows, outputs), 9.0)
            run(target, matrix, x, y)
            assert_same(y, matrix.product(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("layout", FORMATS[:2], ids=str)
@pytest.mark.parametrize("target", TARGETS)
def test_rows_become_the_integers_of_the_reference(target, layout, dtype):
    for inputs in (1, 3, 16, 61, 200, 576):
        matrix = quantized(random(16, inputs), layout, target)
        x = rows_of(7, inputs).to(dtype)
        found = run(target, matrix, x, torch.zeros(7, 16))
        codes, scales = quantize_rows(x.float())
        padding = found.codes.shape[1] - inputs
        padded = functional.pad(codes, (0, padding))
        assert torch.equal(found.codes, padded)
        assert_same(found.scales, scales)
        groups = padded.int().unflatten(1, (found.sums.shape[1], -1))
        assert torch.equal(found.sums, groups.sum(dim=2, dtype=torch.int32))


@pytest.mark.parametrize("layout", FORMATS[:2], ids=str)
@pytest.mark.parametrize("target", TARGETS)
def test_a_row_does_not_depend_on_its_batch(target, layout):
    matrix = quantized(random(130, 200), layout, target)
    x, together = random(33, 200), torch.zeros(33, 130)
    run(target, matrix, x, together)
    for row in range(33):
        alone = torch.zeros(1, 130)
        run(target, matrix, x[row : row + 1].contiguous(), alone)
        assert torch.equal(alone[0], together[row])


@pytest.mark.parametrize("layout", FORMATS[:2], ids=str)
@pytest.mark.parametrize("target", TARGETS)
def test_results_are_added_and_have_a_bias(target, layout):
    matrix = quantized(random(40, 66), layout, target)
    bias = functional.pad(random(40), (0, 8))
    for num_rows, adds in itertools.product(ROWS, (False, True)):
        x, y = random(num_rows, 66), random(num_rows, 40)
        expected = matrix.product(x) + bias[:40] + y * adds
        run(target, matrix, x, y, "add" if adds else "store", bias=bias)
        torch.testing.assert_close(y, expected, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("layout", FORMATS[:2], ids=str)
@pytest.mark.parametrize("target", TARGETS)
def test_gate_and_up_become_one(target, layout):
    for (outputs, inputs), num_rows in itertools.product(SHAPES, ROWS):
        gate = quantized(random(outputs, inputs), layout, target, step=2)
        up = random(outputs, inputs + 1)[:, :inputs]
        gate.handle.pack(target, up, 1, 2, NUM_THREADS)
        codes = quantize_int8(up) if layout.bits == 8 else quantize_int4(up, layout.group_size)
        x, y = random(num_rows, inputs), torch.zeros(num_rows, outputs)
        run(target, gate, x, y, "gated", "silu")
        plain = quantized_linear(x, *codes, zero=ZERO[layout.bits])
        expected = functional.silu(gate.product(x)) * plain
        torch.testing.assert_close(y, expected, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("layout", FORMATS, ids=str)
@pytest.mark.parametrize("target", TARGETS)
def test_embedding_reads_rows_of_the_table(target, layout):
    matrix = quantized(random(50, 200), layout, target)
    ids = torch.tensor([0, 49, 17, 17, 32])
    y = embedded(matrix, target, ids, first_id=0)
    assert torch.equal(y, matrix.dequantized[ids, :200])


@pytest.mark.parametrize("layout", FORMATS, ids=str)
@pytest.mark.parametrize("target", TARGETS)
def test_ids_of_another_part_of_the_table_give_zeros(target, layout):
    matrix = quantized(random(50, 200), layout, target)
    y = embedded(matrix, target, torch.tensor([9, 10, 59, 60, 73, 74]), first_id=10)
    assert torch.equal(y[1:3], matrix.dequantized[[0, 49], :200])
    assert not y[[0, 3, 4, 5]].any()


def embedded(matrix: Quantized, target: str, ids: torch.Tensor, *, first_id: int) -> torch.Tensor:
    """The rows of these tokens; the table begins with ``first_id``."""
    y = torch.full((len(ids), 200), torch.nan)
    program = _cpu.Program(target, NUM_THREADS, [], [], False)
    program.quantized_embed(matrix.handle, y, first_id)
    none32 = torch.zeros(0, dtype=torch.int32)
    rows = torch.zeros(len(ids), dtype=torch.int32)
    offsets = torch.zeros(1, dtype=torch.int32)
    program.replay(ids, torch.zeros(1, 2), rows, offsets, none32, [], [], none32)
    return y


def test_what_does_not_fit_is_refused():
    packed = torch.zeros(QuantizedFormat(8).num_bytes(3, 40), dtype=torch.uint8)
    for arguments, message in (
        ((packed, 40, 5, 0), "bits must be 8, or 4 with a group_size"),
        ((packed, 40, 4, 48), "bits must be 8, or 4 with a group_size"),
        ((packed, 0, 8, 0), "inputs must be from 1"),
        ((packed, 1 << 17, 8, 0), "inputs must be from 1"),
        ((packed[:-1].clone(), 40, 8, 0), "whole panels"),
        ((packed.float(), 40, 8, 0), "packed must be uint8"),
    ):
        with pytest.raises(ValueError, match=message):
            _cpu.QuantizedMatrix(*arguments)
    matrix = _cpu.QuantizedMatrix(packed, 40, 8, 0)
    for source, first, message in (
        (torch.zeros(48, 36), 0, "another number of inputs"),
        (torch.zeros(49, 40), 0, "do not fit the matrix"),
        (torch.zeros(16, 40), 3, "do not fit the matrix"),
    ):
        with pytest.raises(ValueError, match=message):
            matrix.pack(TARGETS[0], source, first, 1, NUM_THREADS)
    program = _cpu.Program(TARGETS[0], NUM_THREADS, [], [], False)
    codes = Codes.empty(4, 44, QuantizedFormat(8))
    with pytest.raises(ValueError, match="shapes that the matrix needs"):
        program.quantize(torch.zeros(4, 40), matrix, *codes)


def test_formats_know_their_size():
    assert QuantizedFormat(8).num_bytes(2, 66) == 2 * (64 + 68 * 16)
    assert QuantizedFormat(4, 32).num_bytes(1, 66) == 128 + 96 * 8
    assert QuantizedFormat(4, 128).num_groups(129) == 2
