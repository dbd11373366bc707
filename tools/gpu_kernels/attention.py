"""Variants of ``kernels/paged_attention``."""

from __future__ import annotations

from sglite.kernels.paged_attention import triton_attention
from tools.gpu_kernels.compiling import Variant


def variants() -> list[Variant]:
    """Decode with 2 and 5 heads a KV head, chunks, loads by descriptors; the merge of parts."""
    found = []
    for name, heads, head_dim, page_size, rows, descriptors in (
        ("decode, 2 heads a KV head", 16, 128, 64, 16, False),
        ("decode, 5 heads a KV head", 40, 128, 64, 16, False),
        ("decode, heads of 64", 16, 64, 64, 16, False),
        ("decode, pages of 16", 16, 128, 16, 16, False),
        ("decode, descriptors", 16, 128, 64, 16, True),
        ("chunk, 2 heads a KV head", 16, 128, 64, 128, False),
        ("chunk, 5 heads a KV head", 40, 128, 64, 128, False),
        ("chunk, descriptors", 16, 128, 64, 128, True),
    ):
        is_chunk = rows > 16
        types = {
            **dict.fromkeys(("q", "k_pool", "v_pool", "out"), "*bf16"),
            "partials": "*fp32",
            **dict.fromkeys(("page_table", "items", "queries"), "*i32"),
            **dict.fromkeys(("scale", "softcap"), "fp32"),
            **dict.fromkeys(("window", "table_stride"), "i32"),
        }
        absent = ["k_scale", "v_scale"]
        if descriptors:
            types |= dict.fromkeys(("k_tiles", "v_tiles"), f"tensordesc<bf16[64, {head_dim}]>")
        else:
            absent += ["k_tiles", "v_tiles"]
        constants = {
            **dict.fromkeys(absent),
            "NUM_KV_HEADS": 8,
            "GROUP": heads // 8,
            "HEAD_DIM": head_dim,
            "BLOCK_DIM": head_dim,
            "ROWS": rows,
            "KEYS": 64,
            "PAGE_SIZE": page_size,
            "SLOT_STRIDE": 8 * head_dim,
            "HEAD_STRIDE": head_dim,
            "IS_CAUSAL": is_chunk,
            "HAS_WINDOW": False,
            "HAS_SOFTCAP": False,
            "SPLITS_EDGES": is_chunk or descriptors,
            "STAGES": 3,
        }
        options = {"num_warps": 8 if is_chunk else 4}
        kernel = triton_attention.attend_kernel
        found.append(Variant(f"attend, {name}", kernel, types, constants, options))
    merge_types = {
        "partials": "*fp32", "merges": "*i32", "slot_tokens": "*i32", "out": "*bf16",
    }  # fmt: skip
    merge_constants = {
        "NUM_KV_HEADS": 8, "GROUP": 2, "HEAD_DIM": 128, "BLOCK_DIM": 128,
        "PARTS": triton_attention.MERGED_AT_ONCE,
    }  # fmt: skip
    kernel = triton_attention.merge_kernel
    found.append(Variant("merge", kernel, merge_types, merge_constants, {"num_warps": 2}))
    return found
