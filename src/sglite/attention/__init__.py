"""Part of step 6 · new tokens attend to everything their sequence has in the cache.

Receives queries of packed runs, a group's metadata and a layer's KV tensors · hands on the attended
values · does not know about layers, weights or requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sglite.attention.parted import PartedAttention
from sglite.kernels.paged_attention import paged_attention

if TYPE_CHECKING:
    from sglite.engine.forward_batch import AttentionMetadata
    from sglite.kvcache.kv_pool import KVLayer


def attention(
    q_TND: torch.Tensor,
    metadata: AttentionMetadata | PartedAttention,
    kv_layer: KVLayer,
    *,
    scale: float,
    softcap: float | None = None,
) -> torch.Tensor:
    """Attend causally to what is stored, the new tokens too: ``[T, N, D]``, dtype of q.

    Token at position i sees the positions j <= i of its own sequence, with a window w only
    i - w < j. ``scale`` multiplies q·k; what comes out stays softly below ``softcap``.
    """
    if not isinstance(metadata, PartedAttention):
        return paged_attention(q_TND, kv_layer, metadata, scale=scale, softcap=softcap)
    out_TND = torch.empty_like(q_TND)
    for begin, end, bound in metadata.parts:
        bound.attend(q_TND[begin:end], kv_layer, out_TND[begin:end], scale=scale, softcap=softcap)
    return out_TND
