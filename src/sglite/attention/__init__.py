"""Part of step 6 · new tokens attend to everything their sequence has in the cache.

Receives q, k, v of packed runs, a group's metadata and a layer's KV tensors · hands on the attended
values · does not know about layers, weights or requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sglite.kernels.kv_store import store_kv
from sglite.kernels.paged_attention import paged_attention

if TYPE_CHECKING:
    from sglite.engine.forward_batch import AttentionMetadata
    from sglite.kvcache.kv_pool import KVLayer


def attention(
    q_TND: torch.Tensor,
    k_TKD: torch.Tensor,
    v_TKD: torch.Tensor,
    metadata: AttentionMetadata,
    kv_layer: KVLayer,
    *,
    scale: float,
    softcap: float | None = None,
) -> torch.Tensor:
    """Store the new tokens' K and V, then attend causally: ``[T, N, D]``, dtype of q.

    Token at position i sees the positions j <= i of its own sequence, with a window w only
    i - w < j. ``scale`` multiplies q·k; what comes out stays softly below ``softcap``.
    """
    store_kv(k_TKD, v_TKD, kv_layer, metadata.out_slots_T)
    return paged_attention(q_TND, kv_layer, metadata, scale=scale, softcap=softcap)
