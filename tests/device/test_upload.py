from __future__ import annotations

import pytest
import torch

from sglite.device.upload import move, upload


def test_values_arrive_with_their_type():
    tensor = upload([[1, 2], [3, 4]], torch.int64, torch.device("cpu"))
    assert tensor.tolist() == [[1, 2], [3, 4]]
    assert tensor.dtype == torch.int64


@pytest.mark.parametrize(("name", "is_pinned"), [("cpu", False), ("cuda", True)])
def test_what_goes_to_a_gpu_is_pinned_first(name, is_pinned, monkeypatch):
    calls = []
    tensor = torch.zeros(3)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: calls.append("pin") or self)
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, device, non_blocking: calls.append(non_blocking) or self
    )
    move(tensor, torch.device(name))
    assert calls == [*(["pin"] if is_pinned else []), True]
