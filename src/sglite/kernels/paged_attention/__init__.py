"""Attention of packed runs over KV pages: signatures, shape contracts and dispatch.

Two ways to say what is attended: a step's runs (:func:`paged_attention`, which works out the rest
itself), or a work list that was made for the device (:func:`attend_work`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from sglite.kernels import triton_support
from sglite.kernels.paged_attention import reference, torch_sdpa, work_reference

if TYPE_CHECKING:
    from sglite.executors.forward_batch import AttentionMetadata
    from sglite.kernels.paged_attention.work_list import DeviceWork, Scores
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


def attend_work(
    q_TND: torch.Tensor,
    kv_layer: KVLayer,
    page_table_WP: torch.Tensor,
    work: DeviceWork,
    out_TND: torch.Tensor,
    *,
    page_size: int,
    scores: Scores,
) -> None:
    """Write the attended values of all queries of a work list to ``out_TND``.

    | tensor | shape | dtype |
    |---|---|---|
    | q_TND, out_TND | [T, N, D] | float32, bfloat16 or float16; contiguous |
    | kv_layer | as above | |
    | page_table_WP | [W, P] | int32; items name its rows |

    Tokens without a query keep what stands in ``out_TND``. Keys outside an item's range, and those
    that a query of a chunk does not see, are not read into its result, whatever they hold.
    """
    if triton_support.runs_on(q_TND):
        from sglite.kernels.paged_attention import triton_attention

        triton_attention.attend(
            q_TND, kv_layer, page_table_WP, work, out_TND, page_size=page_size, scores=scores
        )
        return
    work_reference.attend(
        q_TND, kv_layer, page_table_WP, work, out_TND, page_size=page_size, scores=scores
    )
