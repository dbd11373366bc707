from __future__ import annotations

import pytest
import torch

from sglite.kernels.rms_norm import reference


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_it_is_computed_in_float32_and_rounded_before_the_weight(dtype):
    x, weight = torch.randn(5, 16).mul(30).to(dtype), torch.randn(16).to(dtype)
    wide = x.double()
    normed = (wide / (wide.square().mean(-1, keepdim=True) + 1e-5).sqrt()).to(dtype)
    torch.testing.assert_close(reference.rms_norm(x, weight, 1e-5), normed * weight)
