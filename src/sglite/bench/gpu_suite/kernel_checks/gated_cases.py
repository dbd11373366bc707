"""Activations of gated blocks."""

from __future__ import annotations

from functools import partial
from typing import get_args

from sglite.bench.gpu_suite.kernel_checks.case import Case, Pair, Place
from sglite.kernels.gated import Activation, reference

SMALL = [(1, 1), (3, 7), (2, 1025)]
LARGE = [(1, 3072), (257, 3072), (8192, 3072), (33, 17408)]


def cases() -> list[Case]:
    """Rows and columns of every activation."""
    return [
        Case("gated", f"{activation}, {rows} x {size}", run, rows * size > 4096)
        for activation in get_args(Activation)
        for rows, size in SMALL + LARGE
        for run in [partial(gated, rows, size, activation)]
    ]


def gated(rows: int, size: int, activation: Activation, place: Place) -> list[Pair]:
    """Gates far out, where exponentials overflow, are among them.

    Not so what they are multiplied by: where ``1 + tanh`` cancels, its rounding would be magnified.
    """
    gate_up = place.randn(rows, 2 * size)
    gate_up[:, :size] *= 20
    expected = reference.gated(gate_up.clone(), activation)
    return [Pair(place.implementation("gated").gated(gate_up.clone(), activation), expected)]
