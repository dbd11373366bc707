"""Variants of ``kernels/rotary_store``."""

from __future__ import annotations

from sglite.kernels.rotary_store import triton_rotary_store
from tools.gpu_kernels.compiling import Variant


def variants() -> list[Variant]:
    """With norms of the heads, as Qwen3 has them."""
    return [_rotary_store(heads, kv_heads) for heads, kv_heads in ((16, 8), (40, 8))]


def _rotary_store(heads: int, kv_heads: int) -> Variant:
    return Variant(
        f"rotary_store, {heads} and {kv_heads} heads of 128",
        triton_rotary_store.rotary_store_kernel,
        {
            **dict.fromkeys(("qkv", "q_norm", "k_norm", "cos_sin"), "*bf16"),
            "cos_sin_rows": "*i64",
            "out_slots": "*i64",
            **dict.fromkeys(("q_out", "k_pool", "v_pool"), "*bf16"),
            "eps": "fp32",
            "token_stride": "i32",
            "slot_stride": "i32",
        },
        {
            "NUM_HEADS": heads,
            "NUM_KV_HEADS": kv_heads,
            "HEAD_DIM": 128,
            "HEADS": triton_rotary_store.MAX_HEADS,
            "HALF": 64,
            "HAS_NORMS": True,
            "IS_DEPENDENT": True,
        },
        {"num_warps": 2, "launch_pdl": True},
        multiples_of_16=("token_stride", "slot_stride"),
    )
