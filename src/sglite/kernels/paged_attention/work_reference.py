"""Attention over a work list in torch, item by item in float32: the specification.

It reads its tensors when it is called and nothing else, so a recorded call sees what they hold when
it is repeated.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from sglite.kernels.kv_store import load_kv
from sglite.kernels.paged_attention.reference import soft_cap
from sglite.kernels.paged_attention.work_list import DeviceWork, Scores

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVLayer


def attend(
    q_TND: torch.Tensor,
    kv_layer: KVLayer,
    page_table_WP: torch.Tensor,
    work: DeviceWork,
    out_TND: torch.Tensor,
    *,
    page_size: int,
    scores: Scores,
) -> None:
    """See the package."""
    for first, count, row, begin, end, position in work.items_I6.tolist():
        if not count:
            continue
        queries = work.queries_Q2[first : first + count].tolist()
        keys_S = torch.arange(begin, end, device=q_TND.device)
        slots_S = page_table_WP[row, keys_S // page_size].long() * page_size + keys_S % page_size
        k_SKD, v_SKD = load_kv(kv_layer, slots_S, torch.float32)
        for index, (token, slot) in enumerate(queries):
            is_seen_S = torch.ones_like(keys_S, dtype=torch.bool)
            if work.is_causal:
                is_seen_S = keys_S <= position + index
            if work.is_causal and work.window is not None:
                is_seen_S &= keys_S > position + index - work.window
            part_NX = _part(q_TND[token], k_SKD[is_seen_S], v_SKD[is_seen_S], scores)
            if slot < 0:
                out_TND[token] = part_NX[:, 2:] / part_NX[:, 1:2]
            else:
                work.partials_SNX[slot] = part_NX
    _merge(work, out_TND)


def _part(
    q_ND: torch.Tensor, k_SKD: torch.Tensor, v_SKD: torch.Tensor, scores: Scores
) -> torch.Tensor:
    """Largest score, sum of weights and weighted values of a token's heads: ``[N, 2 + D]``."""
    num_kv_heads, dim = k_SKD.shape[1:]
    q_KGD = q_ND.float().view(num_kv_heads, -1, dim)
    if not len(k_SKD):  # a token before all keys of its item
        part_NX = torch.zeros(len(q_ND), 2 + dim, device=q_ND.device)
        part_NX[:, 0] = -1e30
        return part_NX
    scores_KGS = torch.einsum("kgd,skd->kgs", q_KGD, k_SKD) * scores.scale
    scores_KGS = soft_cap(scores_KGS, scores.softcap) * math.log2(math.e)
    peak_KG1 = scores_KGS.amax(dim=-1, keepdim=True)
    weights_KGS = torch.exp2(scores_KGS - peak_KG1)
    total_KG1 = weights_KGS.sum(dim=-1, keepdim=True)
    values_KGD = torch.einsum("kgs,skd->kgd", weights_KGS, v_SKD)
    return torch.cat((peak_KG1, total_KG1, values_KGD), dim=-1).flatten(0, 1)


def _merge(work: DeviceWork, out_TND: torch.Tensor) -> None:
    """Parts of each divided token, weighted by their sums."""
    for first, count in work.merges_M2.tolist():
        if count:
            parts_SNX = work.partials_SNX[first : first + count]
            factors_SN1 = torch.exp2(parts_SNX[..., :1] - parts_SNX[..., :1].amax(dim=0))
            sums_NX = (parts_SNX[..., 1:] * factors_SN1).sum(dim=0)
            out_TND[int(work.slot_tokens_S[first])] = sums_NX[:, 1:] / sums_NX[:, :1]
