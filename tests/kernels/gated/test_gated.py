from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from sglite.kernels import triton_support
from sglite.kernels.gated import gated


@pytest.mark.parametrize("implementation", ["reference", "triton"])
@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("silu", functional.silu),
        ("gelu", functional.gelu),
        ("gelu_pytorch_tanh", lambda x: functional.gelu(x, approximate="tanh")),
    ],
)
def test_the_first_half_opens_the_gates_of_the_second(
    activation, function, implementation, monkeypatch
):
    if implementation == "triton":
        pytest.importorskip("triton")
        monkeypatch.setattr(triton_support, "runs_on", lambda tensor: True)
    gate, up = torch.randn(4, 6), torch.randn(4, 6)
    torch.testing.assert_close(gated(torch.cat((gate, up), -1), activation), function(gate) * up)
