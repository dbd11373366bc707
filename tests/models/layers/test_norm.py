"""RMS normalisation against its formula."""

from __future__ import annotations

import pytest
import torch

from sglite.models.layers.norm import RMSNorm


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_it_is_the_formula_rounded_before_the_weight(dtype):
    norm = RMSNorm(16, eps=1e-3, dtype=dtype, device="cpu")
    norm.weight.copy_(torch.randn(16))
    x = torch.randn(5, 3, 16).to(dtype) * 0.1

    actual = norm(x)

    wide = x.float()
    normed = wide / (wide.square().mean(dim=-1, keepdim=True) + 1e-3).sqrt()
    assert actual.dtype == dtype
    torch.testing.assert_close(actual, normed.to(dtype) * norm.weight)
