"""Tensor parallelism: which share of a layer a rank holds.

Every split must be even; an uneven one is refused by name before any weight is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sglite.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TensorParallel:
    """Rank ``rank`` of ``size`` that share one model."""

    rank: int = 0
    size: int = 1

    def __post_init__(self) -> None:
        assert 0 <= self.rank < self.size, f"rank {self.rank} of {self.size}"

    def split(self, total: int, name: str) -> int:
        """This rank's share of ``total``; ConfigError where ``name`` does not divide evenly."""
        if total % self.size:
            raise ConfigError(
                f"tp_size {self.size} does not divide {name} ({total}); choose a tp_size that does"
            )
        return total // self.size

    def kv_heads(self, num_kv_heads: int) -> tuple[int, int]:
        """First KV head of this rank and how many it holds.

        With more ranks than heads, consecutive ranks hold copies of one head.
        """
        if self.size <= num_kv_heads:
            count = self.split(num_kv_heads, "num_key_value_heads")
            return self.rank * count, count
        if self.size % num_kv_heads:
            raise ConfigError(
                f"tp_size {self.size} is not a multiple of num_key_value_heads ({num_kv_heads});"
                " KV heads can be copied only to equally many ranks each"
            )
        return self.rank // (self.size // num_kv_heads), 1

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over ranks; with one rank the tensor itself."""
        if self.size > 1:
            raise ConfigError(f"tp_size {self.size}: only 1 can run in this version")
        return tensor

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """The ranks' tensors joined along the last dimension; with one rank the tensor itself."""
        if self.size > 1:
            raise ConfigError(f"tp_size {self.size}: only 1 can run in this version")
        return tensor
