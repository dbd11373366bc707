from __future__ import annotations

import pytest
import torch

from tests.kernels.triton_harness import DEVICE

triton_read = pytest.importorskip("sglite.bench.gpu_suite.triton_read")


@pytest.mark.parametrize("size", [1, 8191, 3 * 8192 + 5])
def test_every_number_is_read_once(size):
    x = torch.arange(size, device=DEVICE, dtype=torch.float32) % 7 + 1
    sums = torch.full((2,), torch.nan, device=DEVICE)
    triton_read.read(x, sums)
    assert float(sums.sum()) == float(x.double().sum())
