"""Which share of a model a rank holds, and what its layers ask of the other ranks.

Vocabulary and MLP are padded to a multiple of the ranks; heads that cannot be split evenly are
refused by name before any weight is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from sglite.distributed.layout import RankLayout
from sglite.errors import ConfigError


class RankGroup(Protocol):
    """Ranks that exchange tensors. Every rank of the group makes the same calls in the same order;
    one that waits longer than the group's timeout raises RankLostError.
    """

    @property
    def rank(self) -> int:
        """Our place in the group, from 0."""

    @property
    def size(self) -> int:
        """Ranks in the group, ourselves among them."""

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over ranks, in place; returns ``tensor``, which must be contiguous."""

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """At rank 0 the ranks' tensors joined along the last dimension; elsewhere ``tensor``."""

    def broadcast(self, tensor: torch.Tensor, source: int = 0) -> torch.Tensor:
        """What rank ``source`` has, in place; returns ``tensor``, which must be contiguous."""

    def send(self, tensor: torch.Tensor, to: int) -> None:
        """Hand ``tensor`` to rank ``to``, which receives one of the same shape and dtype."""

    def receive(self, tensor: torch.Tensor, source: int) -> torch.Tensor:
        """Fill ``tensor`` with what rank ``source`` sends; returns it."""

    def gather_tokens(self, hidden_TE: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """The tokens of all ranks, one after the other, ``[sum(counts), E]``; nothing is padded.

        ``counts[rank]`` is each one's T, which may be 0.
        """

    def scatter_sums(self, hidden_TE: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """The sum over ranks of what :meth:`gather_tokens` joined; our own tokens' part of it."""


@dataclass(frozen=True, slots=True)
class TensorParallel:
    """Rank ``rank`` of ``size`` that share one layer; ``group`` is there where size is not 1."""

    rank: int = 0
    size: int = 1
    group: RankGroup | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        assert 0 <= self.rank < self.size, f"rank {self.rank} of {self.size}"

    def split(self, total: int, name: str) -> int:
        """This rank's share of ``total``; ConfigError where ``name`` does not divide evenly."""
        if total % self.size:
            raise ConfigError(
                f"tp_size {self.size} does not divide {name} ({total}); choose a tp_size that does"
            )
        return total // self.size

    def padded_split(self, total: int) -> int:
        """This rank's share of ``total`` when it is padded to a multiple of the ranks."""
        return -(-total // self.size)

    def padded_range(self, total: int) -> range:
        """What of ``total`` this rank has in its padded share; the rest of that is zeros."""
        count = self.padded_split(total)
        first = min(total, self.rank * count)
        return range(first, min(total, first + count))

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
        return tensor if self.group is None else self.group.all_reduce(tensor)

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """At rank 0 the ranks' tensors joined along the last dimension; elsewhere the tensor."""
        return tensor if self.group is None else self.group.gather(tensor)


@dataclass(frozen=True, slots=True)
class ModelShare:
    """What one rank holds of a model, and with whom it computes.

    ``tp`` splits heads, embedding and output head; ``mlp`` splits the MLPs. They are the same
    unless ``has_lanes`` (DP-attention): then ``tp`` is whole, and the tokens of all ``lanes`` are
    gathered before each MLP and scattered after it. ``layers`` are the decoder's layers of this
    pipeline stage, None: all; the executor hands hidden states from stage to stage.
    """

    tp: TensorParallel = TensorParallel()
    mlp: TensorParallel = TensorParallel()
    lanes: RankGroup | None = field(default=None, compare=False)
    layers: range | None = None
    is_first_stage: bool = True
    is_last_stage: bool = True

    @classmethod
    def of(
        cls, layout: RankLayout, rank: int, num_layers: int, group: RankGroup | None = None
    ) -> ModelShare:
        """The share of ``rank`` of a model with ``num_layers``.

        ``group`` are the ranks of its stage; without it the share only tells sizes, and what it
        computes is a part of each sum. ConfigError where there are more stages than layers.
        """
        split = TensorParallel(layout.tp_rank(rank), layout.tp_size, group)
        has_lanes = layout.num_lanes > 1
        stage = layout.stage(rank)
        layers = layout.layers_of_stage(stage, num_layers) if layout.pp_size > 1 else None
        return cls(
            tp=TensorParallel() if has_lanes else split,
            mlp=split,
            lanes=group if has_lanes else None,
            layers=layers,
            is_first_stage=stage == 0,
            is_last_stage=stage == layout.pp_size - 1,
        )

    @property
    def is_whole(self) -> bool:
        """True where one rank has all of the model."""
        return self.mlp.size == 1 and self.layers is None

    @property
    def has_lanes(self) -> bool:
        """True where each rank computes the attention of its own requests."""
        return self.tp.size != self.mlp.size
