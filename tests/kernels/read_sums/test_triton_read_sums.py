from __future__ import annotations

import pytest
import torch

from tests.kernels.triton_harness import DEVICE

triton_read_sums = pytest.importorskip("sglite.kernels.read_sums.triton_read_sums")


@pytest.mark.parametrize("size", [1, 8191, 3 * 8192 + 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_every_number_is_read_once(size, dtype):
    x = (torch.arange(size, device=DEVICE) % 7 + 1).to(dtype)
    sums = torch.full((2,), torch.nan, device=DEVICE)
    triton_read_sums.read_sums(x, sums)
    assert float(sums.sum()) == float(x.double().sum())
