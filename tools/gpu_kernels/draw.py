"""Variants of ``kernels/draw``."""

from __future__ import annotations

from sglite.kernels.draw import triton_draw
from tools.gpu_kernels.compiling import Variant


def variants() -> list[Variant]:
    """The race over the vocabulary, and the winners of its blocks."""
    return [
        Variant(
            "draw, blocks",
            triton_draw.race_kernel,
            {
                "logits": "*bf16",
                "temperatures": "*fp32",
                "keys": "*i32",
                "scores": "*fp32",
                "tokens": "*i32",
                "vocab_size": "i32",
                "stride": "i32",
                "num_blocks": "i32",
            },
            {"BLOCK": triton_draw.BLOCK},
            {"num_warps": 8},
            multiples_of_16=("vocab_size", "stride"),
        ),
        Variant(
            "draw, winners",
            triton_draw.winner_kernel,
            {"scores": "*fp32", "tokens": "*i32", "token_ids": "*i64", "num_blocks": "i32"},
            {"BLOCKS": 64},
            {"num_warps": 1},
        ),
    ]
