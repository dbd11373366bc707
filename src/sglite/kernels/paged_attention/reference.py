"""Paged attention, token by token and head by head in float32: the specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sglite.kernels.kv_store import load_kv

if TYPE_CHECKING:
    from sglite.executors.forward_batch import AttentionMetadata
    from sglite.kvcache.kv_pool import KVLayer


def paged_attention(
    q_TND: torch.Tensor,
    kv_layer: KVLayer,
    metadata: AttentionMetadata,
    *,
    scale: float,
    softcap: float | None = None,
) -> torch.Tensor:
    """See the package; loops, no masks: what is not visible is not read."""
    out_TND = torch.empty_like(q_TND)
    page_size = metadata.page_size
    group_size = q_TND.shape[1] // kv_layer.k_SKD.shape[1]
    for run, seq_len in enumerate(metadata.seq_lens):
        begin, end = metadata.run_offsets[run], metadata.run_offsets[run + 1]
        for token in range(begin, end):
            position = seq_len - (end - token)
            first = 0 if metadata.window is None else max(0, position - metadata.window + 1)
            slots = []
            for key in range(first, position + 1):
                page_id = int(metadata.page_table_RP[run, key // page_size])
                slots.append(page_id * page_size + key % page_size)
            k_SKD, v_SKD = load_kv(kv_layer, torch.tensor(slots), torch.float32)
            for head in range(q_TND.shape[1]):
                scores_S = k_SKD[:, head // group_size] @ q_TND[token, head].float() * scale
                weights_S = torch.softmax(soft_cap(scores_S, softcap), dim=0)
                out_TND[token, head] = (weights_S @ v_SKD[:, head // group_size]).to(q_TND.dtype)
    return out_TND


def soft_cap(scores: torch.Tensor, cap: float | None) -> torch.Tensor:
    """``cap * tanh(scores / cap)``; None leaves them as they are."""
    return scores if cap is None else cap * torch.tanh(scores / cap)
