"""Large arrays on the host: lazily handed out, on huge pages, given back when they are freed."""

from __future__ import annotations

import math
import mmap

import torch

HUGE_PAGE = 2 << 20


def lazy_zeros(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Zeros in memory that the system hands out only when it is first written.

    ``torch.zeros`` would touch every page of a pool that may be half of the machine's memory, and
    does not ask for huge pages. Unlike what ``malloc`` gives, a mapping of its own never stays with
    the process when the tensor is gone.
    """
    num_bytes = math.prod(shape) * dtype.itemsize
    if num_bytes == 0:
        return torch.zeros(shape, dtype=dtype)
    memory = mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if num_bytes >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.uint8, count=num_bytes).view(dtype).view(shape)
