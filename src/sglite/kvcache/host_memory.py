"""Large arrays on the host: lazily handed out, on huge pages, aligned to cache lines."""

from __future__ import annotations

import math

import numpy as np
import torch

CACHE_LINE = 64


def lazy_zeros(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Zeros in memory that the system hands out only when it is first written.

    ``torch.zeros`` would touch every page of a pool that may be half of the machine's memory, and
    does not ask for huge pages; numpy does, where the system allows them on request.
    """
    num_bytes = math.prod(shape) * dtype.itemsize
    memory = np.zeros(num_bytes + CACHE_LINE, dtype=np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return torch.from_numpy(memory[start : start + num_bytes]).view(dtype).view(shape)
