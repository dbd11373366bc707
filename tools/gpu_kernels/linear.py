"""Variants of ``kernels/linear``."""

from __future__ import annotations

from sglite.kernels.linear import triton_linear
from tools.gpu_kernels.compiling import Variant


def variants() -> list[Variant]:
    """A few vectors, narrow and wide; tiles of any number of rows."""
    return [
        *(_vectors(rows, outputs) for rows, outputs in ((1, 4), (1, 8), (4, 4), (4, 8))),
        *(_tiles(outputs) for outputs in (32, 128)),
    ]


def _vectors(rows: int, outputs: int) -> Variant:
    return Variant(
        f"linear, {rows} vector{'s' * (rows > 1)} x {outputs} outputs",
        triton_linear.vectors_kernel,
        *_arguments(rows, outputs, triton_linear.VECTOR_COLUMNS, {"IS_DEPENDENT": True}),
        {"num_warps": triton_linear.VECTOR_WARPS, "launch_pdl": True},
        multiples_of_16=_SIZES,
    )


def _tiles(outputs: int) -> Variant:
    rows, columns = triton_linear.TILE_ROWS, triton_linear.TILE_COLUMNS
    return Variant(
        f"linear, batch-invariant, {rows} x {outputs}",
        triton_linear.tile_kernel,
        *_arguments(rows, outputs, columns, {}),
        {"num_warps": 4, "num_stages": 3},
        multiples_of_16=_SIZES,
    )


_SIZES = ("num_in", "num_out", "x_stride", "weight_stride")


def _arguments(
    rows: int, outputs: int, columns: int, more: dict[str, bool]
) -> tuple[dict[str, str], dict[str, object]]:
    """Types and constants."""
    types = {
        **dict.fromkeys(("x", "weight", "bias", "out"), "*bf16"),
        **dict.fromkeys(("num_rows", *_SIZES), "i32"),
    }
    blocks = {"BLOCK_ROWS": rows, "BLOCK_OUT": outputs, "BLOCK_IN": columns}
    return types, {**blocks, "HAS_BIAS": False, **more}
