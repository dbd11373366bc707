"""What an executor needs of a model, however it computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from sglite.kvcache.kv_pool import KVLayout
from sglite.models.spec import DecoderSpec
from sglite.models.weight_map import WeightTarget

if TYPE_CHECKING:
    from sglite.executors.forward_batch import ForwardBatch
    from sglite.kvcache.kv_pool import KVPool


class LanguageModel(Protocol):
    """A decoder with its weights: ``Decoder`` on torch, ``ReplayedDecoder`` on our own kernels."""

    spec: DecoderSpec
    dtype: torch.dtype
    kv_layout: KVLayout

    @property
    def num_kv_heads(self) -> int:
        """KV heads that this rank holds: what the KV pool is sized by."""

    @property
    def num_bytes(self) -> int:
        """Memory of the weights."""

    def write(self, name: str, target: WeightTarget, tensor: torch.Tensor) -> None:
        """Put checkpoint tensor ``name`` in its place; ModelLoadError for another shape."""

    def __call__(self, batch: ForwardBatch, kv_pool: KVPool) -> torch.Tensor:
        """Hidden states ``[T, E]`` of the batch's tokens; writes their K and V into the pool."""

    def compute_logits(self, hidden_RE: torch.Tensor) -> torch.Tensor:
        """Logits ``[R, V]``, float32, of rows of the hidden states; good until the next call."""
