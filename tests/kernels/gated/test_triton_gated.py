from __future__ import annotations

import pytest
import torch

from sglite.kernels.gated import reference
from tests.kernels.triton_harness import DEVICE, DTYPES, assert_close

triton_gated = pytest.importorskip("sglite.kernels.gated.triton_gated")


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_pytorch_tanh"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 2), (3, 14), (2, 2050), (0, 8)], ids=str)
def test_gated_is_the_reference_s(shape, dtype, activation):
    gate_up = torch.randn(shape, device=DEVICE).mul(4).to(dtype)
    expected = reference.gated(gate_up.clone(), activation)
    assert_close(triton_gated.gated(gate_up, activation), expected)


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_pytorch_tanh"])
def test_large_numbers_neither_overflow_nor_become_nan(activation):
    gate = torch.tensor([[-1e4, -90.0, 0.0, 90.0, 1e4]], device=DEVICE)
    out = triton_gated.gated(torch.cat((gate, torch.ones_like(gate)), dim=-1), activation)
    torch.testing.assert_close(out, gate.clamp(min=0.0), atol=1e-30, rtol=1e-6)
