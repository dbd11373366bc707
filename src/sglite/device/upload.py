"""Small tensors on their way to a device, without waiting for what it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def upload(values: Sequence[Any], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """``values`` as a tensor on ``device``."""
    return move(torch.tensor(values, dtype=dtype), device)


def move(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """``tensor`` of the host on ``device``.

    A GPU copies from pinned memory, which torch keeps until the copy was made; a copy from any
    other memory is waited for, behind all that the GPU still has to do.
    """
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
