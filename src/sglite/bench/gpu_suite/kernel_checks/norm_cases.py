"""Root-mean-square norms, with and without the addition before them."""

from __future__ import annotations

from functools import partial

from sglite.bench.gpu_suite.kernel_checks.case import Case, Pair, Place
from sglite.kernels.rms_norm import reference

SMALL = [(1, 1), (3, 7), (5, 63), (2, 1025)]
LARGE = [(1, 1024), (256, 1024), (8191, 1024), (1, 5120), (257, 5120), (64, 8192)]


def cases() -> list[Case]:
    """Rows and columns."""
    return [
        Case("rms_norm", f"{what}, {rows} x {size}", partial(run, rows, size), rows * size > 4096)
        for rows, size in SMALL + LARGE
        for what, run in (("norm", norm), ("sum and norm", add_norm))
    ]


def norm(rows: int, size: int, place: Place) -> list[Pair]:
    """Of large numbers, too."""
    x, weight = place.randn(rows, size) * 30, place.randn(size)
    expected = reference.rms_norm(x, weight, 1e-6)
    return [Pair(place.implementation("rms_norm").rms_norm(x, weight, 1e-6), expected)]


def add_norm(rows: int, size: int, place: Place) -> list[Pair]:
    """The residual stream is changed in place."""
    hidden, delta, weight = place.randn(rows, size), place.randn(rows, size), place.randn(size)
    theirs = hidden.clone()
    expected = reference.add_rms_norm(theirs, delta, weight, 1e-5)
    actual = place.implementation("rms_norm").add_rms_norm(hidden, delta, weight, 1e-5)
    return [Pair(actual, expected), Pair(hidden, theirs)]
