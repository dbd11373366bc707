from __future__ import annotations

import pytest
import torch

from sglite.kernels import triton_support
from sglite.kernels.rms_norm import add_rms_norm, rms_norm


@pytest.fixture(params=["reference", "triton"], autouse=True)
def implementation(request, monkeypatch):
    """Each of the two, whatever the device."""
    if request.param == "triton":
        pytest.importorskip("triton")
        monkeypatch.setattr(triton_support, "runs_on", lambda tensor: True)


def test_rows_are_divided_by_their_root_mean_square():
    x, weight = torch.randn(3, 8), torch.randn(8)
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight
    torch.testing.assert_close(rms_norm(x, weight, 1e-6), expected)


def test_what_is_added_stays_in_the_stream():
    hidden, delta, weight = torch.randn(3, 8), torch.randn(3, 8), torch.randn(8)
    total = hidden + delta
    normed = add_rms_norm(hidden, delta, weight, 1e-6)
    torch.testing.assert_close(normed, torch.rms_norm(total, (8,), weight, 1e-6))
    assert torch.equal(hidden, total)
