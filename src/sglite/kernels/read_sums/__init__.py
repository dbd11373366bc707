"""Sums over an array that is far larger than any cache: signature and dispatch.

No model needs it. It shows what a device's memory gives to a kernel that only reads, which is what
the speed of decoding is measured by (``bench.gpu_suite``).
"""

from __future__ import annotations

import torch

from sglite.kernels import triton_support
from sglite.kernels.read_sums import reference


def read_sums(x: torch.Tensor, sums: torch.Tensor) -> None:
    """Read all of ``x``, flat and of floats, into float32 ``sums`` whose own sum is that of x.

    How the numbers are divided among the sums is the implementation's; one of Triton has a program
    for each.
    """
    if triton_support.runs_on(x):
        from sglite.kernels.read_sums import triton_read_sums

        triton_read_sums.read_sums(x, sums)
        return
    reference.read_sums(x, sums)
