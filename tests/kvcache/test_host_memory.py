"""Lazy zeros are zeros, of the type and shape asked for, and begin on a cache line."""

from __future__ import annotations

import pytest
import torch

from sglite.kvcache.host_memory import lazy_zeros


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 0, 7), (1 << 20, 5)])
def test_they_are_zeros_of_that_shape(shape, dtype):
    zeros = lazy_zeros(shape, dtype)
    assert zeros.shape == shape
    assert zeros.dtype == dtype
    assert zeros.data_ptr() % 64 == 0
    assert zeros.is_contiguous()
    assert not zeros.any()


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_memory_goes_back_when_the_tensor_is_gone():
    first = lazy_zeros((1 << 25,), torch.uint8)
    pieces = [lazy_zeros((1 << 22,), torch.uint8).fill_(1) for _ in range(32)]
    last = torch.ones(1000)  # what is allocated later must not keep it
    before = resident_bytes()
    del pieces
    assert before - resident_bytes() > 1 << 26
    assert first[0] == 0 and last[0] == 1


def test_memory_is_taken_when_it_is_written():
    before = resident_bytes()
    zeros = lazy_zeros((1 << 30,), torch.uint8)
    assert resident_bytes() - before < 1 << 26
    zeros[: 1 << 27] = 1
    assert resident_bytes() - before > 1 << 26
