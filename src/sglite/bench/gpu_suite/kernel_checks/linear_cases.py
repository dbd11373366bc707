"""Products with a weight: of a few vectors, and of any number of them, bit for bit alike."""

from __future__ import annotations

from functools import partial

import torch

from sglite.bench.gpu_suite.kernel_checks.case import Case, Pair, Place
from sglite.kernels.linear import MAX_VECTORS, reference

SMALL = [(1, 1, 1), (3, 7, 5), (4, 65, 33), (2, 130, 17)]
LARGE = [(1, 1024, 6144), (4, 3072, 1024), (1, 5120, 34_816), (3, 1024, 151_936)]
MANY = [(5, 65, 33), (64, 1024, 4096), (257, 1000, 1111)]


def cases() -> list[Case]:
    """Rows, inputs and outputs, with a bias and without."""
    return [
        Case("linear", f"{what}, {rows} x {inputs} to {outputs}", run, inputs * outputs > 5000)
        for what, multiply, sizes in (
            ("vectors", vectors, SMALL + LARGE),
            ("invariant", invariant, SMALL + MANY),
        )
        for rows, inputs, outputs in sizes
        for run in [partial(multiply, rows, inputs, outputs)]
    ]


def vectors(rows: int, inputs: int, outputs: int, place: Place) -> list[Pair]:
    """As many rows as the kernel takes."""
    assert rows <= MAX_VECTORS, rows
    module = place.implementation("linear")
    multiply = module.multiply_vectors if place.uses_triton else module.linear
    x, weight, bias = _inputs(rows, inputs, outputs, place)
    return [Pair(multiply(x, weight, given), _expected(x, weight, given)) for given in (bias, None)]


def invariant(rows: int, inputs: int, outputs: int, place: Place) -> list[Pair]:
    """Right; and the first row alone has the bits that it has among the others."""
    module = place.implementation("linear")
    x, weight, bias = _inputs(rows, inputs, outputs, place)
    if not place.uses_triton:
        return [Pair(module.linear(x, weight, bias), _expected(x, weight, bias))]
    together = module.multiply_invariantly(x, weight, bias)
    alone = module.multiply_invariantly(x[:1], weight, bias)
    bits = together[:1].view(torch.uint8), alone.view(torch.uint8)
    return [Pair(together, _expected(x, weight, bias)), Pair(*bits)]


def _inputs(rows: int, inputs: int, outputs: int, place: Place) -> tuple[torch.Tensor, ...]:
    weight = place.randn(outputs, inputs) * inputs**-0.5
    return place.randn(rows, inputs), weight, place.randn(outputs)


def _expected(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """In float64, which no order of addition changes."""
    wide = reference.linear(x.double(), weight.double(), None if bias is None else bias.double())
    return wide.to(x.dtype)
