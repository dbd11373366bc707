"""What an executor needs of a model, however it computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch

from sglite.kvcache.kv_pool import KVLayout
from sglite.models.spec import DecoderSpec
from sglite.models.weight_map import WeightTarget

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVPool


class LanguageModel(Protocol):
    """A decoder with its weights: ``Decoder`` on torch, ``ReplayedDecoder`` on our own kernels."""

    spec: DecoderSpec
    dtype: torch.dtype
    kv_layout: KVLayout

    @property
    def stream_dtype(self) -> torch.dtype:
        """Type of the residual stream, which goes from stage to stage."""

    @property
    def num_kv_heads(self) -> int:
        """KV heads that this rank holds: what the KV pool is sized by."""

    @property
    def num_bytes(self) -> int:
        """Memory of the weights."""

    def write(self, name: str, target: WeightTarget, tensor: torch.Tensor) -> None:
        """Put checkpoint tensor ``name`` in its place; ModelLoadError for another shape."""

    def __call__(
        self, batch: Any, kv_pool: KVPool, hidden_TE: torch.Tensor | None = None, /
    ) -> torch.Tensor:
        """Hidden states ``[T, E]`` of the batch's tokens; writes their K and V into the pool.

        ``batch`` is a ForwardBatch; of a ReplayedDecoder it may be a HostBatch. ``hidden_TE`` are
        those of the pipeline stage before, where the model is not the first.
        """

    def compute_logits(self, hidden_RE: torch.Tensor) -> torch.Tensor:
        """Logits ``[R, V]``, float32, of rows of the hidden states; good until the next call."""
