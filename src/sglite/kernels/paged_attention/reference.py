"""Paged attention, token by token and head by head in float32: the specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from sglite.engine.forward_batch import AttentionMetadata
    from sglite.kvcache.kv_pool import KVLayer


def paged_attention(
    q_TND: torch.Tensor, kv_layer: KVLayer, metadata: AttentionMetadata, *, scale: float
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
            for head in range(q_TND.shape[1]):
                k_SD = kv_layer.k_SKD[slots, head // group_size].float()
                v_SD = kv_layer.v_SKD[slots, head // group_size].float()
                weights = torch.softmax(k_SD @ q_TND[token, head].float() * scale, dim=0)
                out_TND[token, head] = (weights @ v_SD).to(q_TND.dtype)
    return out_TND
