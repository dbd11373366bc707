"""Variants of ``kernels/paged_attention``."""

from __future__ import annotations

from sglite.kernels.paged_attention import triton_attention
from tools.gpu_kernels.compiling import Variant


def variants() -> list[Variant]:
    """Decode and chunks, and the merge of parts."""
    return [
        _attend("decode, 2 heads a KV head", heads=16, rows=16, num_warps=4),
        _attend("decode, 5 heads a KV head", heads=40, rows=16, num_warps=4),
        _attend("chunk, 64 tokens x 2 heads", heads=16, rows=128, num_warps=8),
        Variant(
            "merge",
            triton_attention.merge_kernel,
            {"partials": "*fp32", "partial_offsets": "*i32", "out": "*bf16"},
            {"NUM_HEADS": 16, "HEAD_DIM": 128, "BLOCK_DIM": 128},
            {"num_warps": 1},
        ),
    ]


def _attend(name: str, *, heads: int, rows: int, num_warps: int) -> Variant:
    words = ("page_table", "items", "query_tokens", "query_slots", "visible")
    return Variant(
        f"attend, {name}",
        triton_attention.attend_kernel,
        {
            **dict.fromkeys(("q", "k_pool", "v_pool", "out"), "*bf16"),
            "partials": "*fp32",
            **dict.fromkeys(words, "*i32"),
            "scale": "fp32",
            "softcap": "fp32",
            "table_stride": "i32",
            "slot_stride": "i32",
        },
        {
            "NUM_HEADS": heads,
            "GROUP": heads // 8,
            "HEAD_DIM": 128,
            "BLOCK_DIM": 128,
            "ROWS": rows,
            "KEYS": 64,
            "PAGE_SIZE": 64,
            "HAS_SOFTCAP": False,
        },
        {"num_warps": num_warps, "num_stages": 3},
        multiples_of_16=("slot_stride",),
    )
