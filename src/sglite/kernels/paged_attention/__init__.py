"""Attention of packed runs over KV pages: signature, shape contract and dispatch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from sglite.kernels.paged_attention import reference, torch_sdpa

if TYPE_CHECKING:
    from sglite.executors.forward_batch import AttentionMetadata
    from sglite.kvcache.kv_pool import KVLayer

IMPLEMENTATIONS: dict[str, Callable[..., torch.Tensor]] = {
    "reference": reference.paged_attention,
    "torch": torch_sdpa.paged_attention,
}


def paged_attention(
    q_TND: torch.Tensor,
    kv_layer: KVLayer,
    metadata: AttentionMetadata,
    *,
    scale: float,
    softcap: float | None = None,
    implementation: str = "torch",
) -> torch.Tensor:
    """Causal attention of each run over its sequence's slots.

    | tensor | shape | dtype |
    |---|---|---|
    | q_TND | [T, N, D] | float32, bfloat16 or float16; N a multiple of K |
    | kv_layer.k_SKD, .v_SKD | [S, K, D] | the pool's; the new tokens are stored already |
    | result | [T, N, D] | as q |

    Run i has the positions ``seq_lens[i] - length .. seq_lens[i] - 1``. Position p lies in slot
    ``page_table_RP[i, p // page_size] * page_size + p % page_size`` and sees the positions j <= p,
    with a window w only j > p - w. Nothing else is read into the result, whatever it holds.
    Scores are ``scale * q·k``, with a ``softcap`` (above 0) then ``softcap * tanh(scores /
    softcap)``.
    """
    return IMPLEMENTATIONS[implementation](q_TND, kv_layer, metadata, scale=scale, softcap=softcap)
