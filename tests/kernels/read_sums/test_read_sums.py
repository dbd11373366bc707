from __future__ import annotations

import torch

from sglite.kernels.read_sums import read_sums


def test_sums_together_are_the_sum():
    sums = torch.full((3,), torch.nan)
    read_sums(torch.arange(10.0), sums)
    assert float(sums.sum()) == 45
