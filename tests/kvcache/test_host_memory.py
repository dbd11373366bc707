"""Lazy zeros are zeros, of the type and shape asked for, and begin on a cache line."""

from __future__ import annotations

import pytest
import torch

from sglite.kvcache.host_memory import CACHE_LINE, lazy_zeros


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 0, 7), (1 << 20, 5)])
def test_they_are_zeros_of_that_shape(shape, dtype):
    zeros = lazy_zeros(shape, dtype)
    assert zeros.shape == shape
    assert zeros.dtype == dtype
    assert zeros.data_ptr() % CACHE_LINE == 0
    assert zeros.is_contiguous()
    assert not zeros.any()


def test_memory_is_taken_when_it_is_written():
    def resident_bytes() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    before = resident_bytes()
    zeros = lazy_zeros((1 << 30,), torch.uint8)
    assert resident_bytes() - before < 1 << 26
    zeros[: 1 << 27] = 1
    assert resident_bytes() - before > 1 << 26
