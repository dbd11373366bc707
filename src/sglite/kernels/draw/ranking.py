"""The largest entries of a row, and the ones that top-k, top-p and min-p leave.

Shape legend: R rows, V vocab, K candidate tokens.
"""

from __future__ import annotations

import torch

_ALWAYS_RANKED = 1024


def rows_per_chunk(vocab_size: int, device: torch.device) -> int:
    """Rows to work on at once: temporaries fit a CPU's caches, or a bounded part of a GPU."""
    elements = 1 << 19 if device.type == "cpu" else 1 << 24
    return max(1, elements // vocab_size)


def ranked_topk(values_RV: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``k`` largest fp32 values of each row and their ids (int64), highest first.

    Of equal values the lower id comes first, as in argmax. ``torch.topk`` breaks ties as it likes,
    and differently for another ``k``; here value and id form one sortable integer instead, so that
    a row's ranking does not depend on the rows beside it.
    """
    vocab_size = values_RV.shape[1]
    bits = (values_RV + 0.0).view(torch.int32)
    bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    ids_V = torch.arange(vocab_size - 1, -1, -1, device=values_RV.device)
    keys_RV = bits.to(torch.int64).bitwise_left_shift_(32).bitwise_or_(ids_V)
    keys_RK = keys_RV.topk(k, dim=-1, sorted=True).values
    ids_RK = (vocab_size - 1) - (keys_RK & 0xFFFFFFFF)
    return values_RV.gather(-1, ids_RK), ids_RK


def num_candidates(
    probs_RV: torch.Tensor,
    top_k_R: torch.Tensor,
    top_p_R: torch.Tensor,
    min_p_R: torch.Tensor,
    *,
    max_top_k: int,
) -> int:
    """An upper bound of how many tokens of any row survive its filters.

    Tokens less likely than (1 - top_p) / V add up to less than 1 - top_p, so all of them lie
    beyond the boundary of top-p. Counting the others on the CPU saves most of a full sort; on a
    GPU reading the count would stall the stream, so ``max_top_k`` alone is used there.
    """
    vocab_size = probs_RV.shape[1]
    if max_top_k <= _ALWAYS_RANKED or probs_RV.device.type != "cpu":
        return min(max_top_k, vocab_size)
    top_p_floor_R = (1.0 - top_p_R) * (0.999 / vocab_size)
    floor_R = torch.maximum(top_p_floor_R, min_p_R * probs_RV.amax(-1))
    counts_R = torch.minimum((probs_RV >= floor_R[:, None]).sum(-1), top_k_R)
    return max(1, int(counts_R.max()))


def surviving_tokens(
    probs_RV: torch.Tensor,
    top_k_R: torch.Tensor,
    top_p_R: torch.Tensor,
    min_p_R: torch.Tensor,
    *,
    max_top_k: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Candidates ``[R, K]``: probabilities, 0 where a filter took the token, and ids (int64).

    Top-k, then top-p over the cumulative sum of the unfiltered sorted probabilities with the token
    that crosses p kept, then min-p relative to the most likely token.
    """
    k = num_candidates(probs_RV, top_k_R, top_p_R, min_p_R, max_top_k=max_top_k)
    probs_RK, ids_RK = ranked_topk(probs_RV, k)
    mass_before_RK = probs_RK.cumsum(-1) - probs_RK
    ranks_K = torch.arange(k, device=probs_RV.device)
    kept_RK = ranks_K < top_k_R[:, None]
    # The sum may be rounded to 1 before the last token, and 1 filters nothing.
    kept_RK &= (mass_before_RK < top_p_R[:, None]) | (top_p_R[:, None] >= 1)
    kept_RK &= probs_RK >= min_p_R[:, None] * probs_RK[:, :1]
    kept_RK[:, 0] = True
    return probs_RK.masked_fill(~kept_RK, 0.0), ids_RK
