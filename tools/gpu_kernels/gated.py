"""Variants of ``kernels/gated``."""

from __future__ import annotations

from sglite.kernels.gated import triton_gated
from tools.gpu_kernels.compiling import Variant


def variants() -> list[Variant]:
    """Any width: a program has a block of a row."""
    return [
        Variant(
            "gated, silu",
            triton_gated.gated_kernel,
            {"gate_up": "*bf16", "out": "*bf16", "size": "i32", "stride": "i32"},
            {"ACTIVATION": "silu", "BLOCK": triton_gated.BLOCK, "IS_DEPENDENT": True},
            {"num_warps": 4, "launch_pdl": True},
            multiples_of_16=("size", "stride"),
        )
    ]
