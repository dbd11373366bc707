from __future__ import annotations

import pytest
import torch

from sglite.kernels import triton_support
from sglite.kernels.draw import Draws, draw
from sglite.kernels.draw.noise import row_keys


@pytest.mark.parametrize("implementation", ["reference", "triton"])
def test_cold_rows_take_the_likeliest_and_warm_ones_follow_their_seed(implementation, monkeypatch):
    if implementation == "triton":
        pytest.importorskip("triton")
        monkeypatch.setattr(triton_support, "runs_on", lambda tensor: True)
    logits = torch.randn(1, 50).expand(30, 50).contiguous()
    keys = row_keys(torch.arange(30) // 2, torch.full((30,), 5))
    cold = draw(logits, Draws(torch.zeros(30), keys))
    warm = draw(logits, Draws(torch.full((30,), 2.0), keys))
    assert set(cold.tolist()) == {int(logits[0].argmax())}
    assert torch.equal(warm[::2], warm[1::2])
    assert len(set(warm.tolist())) > 3
