"""The attention backends that can be had here, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from sglite.attention.backend import AttentionBackend

Make = Callable[[], AttentionBackend]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionSizes:
    """What a backend has to know of the layers that it attends."""

    num_heads: int
    num_kv_heads: int
    head_dim: int
    page_size: int
    dtype: torch.dtype
    window: int | None = None
    softcap: float | None = None


def all_backends(device: torch.device, sizes: AttentionSizes, kind: str) -> dict[str, Make]:
    """Backends of a kind of runs, ``decode`` or ``prefill``, and how one is made."""
    return {}


def decode_backends(device: torch.device, sizes: AttentionSizes) -> dict[str, Make]:
    """Those of single tokens."""
    return all_backends(device, sizes, "decode")
