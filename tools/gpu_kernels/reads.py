"""Variants of ``kernels/read_sums``."""

from __future__ import annotations

from sglite.kernels.read_sums import triton_read_sums
from tools.gpu_kernels.compiling import Variant


def variants() -> list[Variant]:
    """Of bfloat16, as the suite reads."""
    return [
        Variant(
            "read_sums",
            triton_read_sums.read_kernel,
            {"x": "*bf16", "sums": "*fp32", "size": "i64", "rounds": "i32"},
            {"BLOCK": triton_read_sums.BLOCK},
            {"num_warps": 8},
        )
    ]
