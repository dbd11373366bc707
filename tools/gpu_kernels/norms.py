"""Variants of ``kernels/rms_norm``."""

from __future__ import annotations

from sglite.kernels.rms_norm import triton_rms_norm
from tools.gpu_kernels.compiling import Variant


def variants() -> list[Variant]:
    """The residual stream's norms."""
    return [_add_rms_norm(size, num_warps) for size, num_warps in ((1024, 2), (5120, 16))]


def _add_rms_norm(size: int, num_warps: int) -> Variant:
    return Variant(
        f"add_rms_norm, {size:,} wide",
        triton_rms_norm.norm_kernel,
        {
            **dict.fromkeys(("x", "delta", "weight", "out"), "*bf16"),
            "size": "i32",
            "eps": "fp32",
            "x_stride": "i32",
            "delta_stride": "i32",
        },
        {"ADDS": True, "BLOCK": 1 << (size - 1).bit_length(), "IS_DEPENDENT": True},
        {"num_warps": num_warps, "launch_pdl": True},
        multiples_of_16=("size", "x_stride", "delta_stride"),
    )
