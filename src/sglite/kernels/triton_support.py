"""What the Triton kernels share: whether they can run, and sizes of their blocks.

Triton is imported where a kernel is first used, never when a module of sglite is: a machine without
it, or without a GPU, does not notice.
"""

from __future__ import annotations

import importlib.util

import torch


def is_installed() -> bool:
    """True where Triton can be imported."""
    return importlib.util.find_spec("triton") is not None


def is_interpreted() -> bool:
    """True where Triton was told to run its kernels on a CPU (``TRITON_INTERPRET=1``)."""
    if not is_installed():
        return False
    import triton

    return bool(triton.knobs.runtime.interpret)


def runs_on(tensor: torch.Tensor) -> bool:
    """True where a Triton kernel can work on ``tensor`` in place of its reference."""
    return tensor.is_cuda and is_installed()


def next_power_of_2(number: int) -> int:
    """The smallest power of two that is not below ``number``, at least 1."""
    return 1 << max(0, number - 1).bit_length()
