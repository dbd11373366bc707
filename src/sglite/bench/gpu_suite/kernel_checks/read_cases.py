"""The kernel that only reads."""

from __future__ import annotations

from functools import partial

import torch

from sglite.bench.gpu_suite.kernel_checks.case import Case, Pair, Place
from sglite.kernels.read_sums import reference

SMALL = [(1, 1), (8193, 2)]
LARGE = [(100_000_001, 1056)]


def cases() -> list[Case]:
    """Numbers and programs."""
    return [
        Case("read_sums", f"{size:,} numbers", partial(read, size, programs), size > 10_000)
        for size, programs in SMALL + LARGE
    ]


def read(size: int, programs: int, place: Place) -> list[Pair]:
    """Numbers whose sums are exact: ones and zeros, no more of either than a float can count."""
    x = torch.zeros(size, device=place.device, dtype=place.dtype)
    x[:: 1 + size // 10_000] = 1
    ours, theirs = (torch.full((programs,), torch.nan, device=place.device) for _ in range(2))
    place.implementation("read_sums").read_sums(x, ours)
    reference.read_sums(x, theirs)
    return [Pair(ours.sum()[None], theirs.sum()[None])]
