"""Root-mean-square norm as one Triton program per row: the row is read once."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from sglite.kernels.triton_dependent import let_next_start, wait_for_previous
from sglite.kernels.triton_support import dependent_launch, next_power_of_2

MAX_WARPS = 16
NUMBERS_PER_WARP = 512
"""Sixteen for each thread: two loads of 16 bytes."""


def rms_norm(x_TE: torch.Tensor, weight_E: torch.Tensor, eps: float) -> torch.Tensor:
    """See the package."""
    return _launch(x_TE, None, weight_E, eps)


def add_rms_norm(
    hidden_TE: torch.Tensor, delta_TE: torch.Tensor, weight_E: torch.Tensor, eps: float
) -> torch.Tensor:
    """See the package."""
    return _launch(hidden_TE, delta_TE, weight_E, eps)


def _launch(
    x_TE: torch.Tensor, delta_TE: torch.Tensor | None, weight_E: torch.Tensor, eps: float
) -> torch.Tensor:
    rows, size = x_TE.shape
    out_TE = torch.empty((rows, size), dtype=x_TE.dtype, device=x_TE.device)
    block = next_power_of_2(size)
    if rows:
        norm_kernel[(rows,)](
            x_TE,
            x_TE if delta_TE is None else delta_TE,
            weight_E,
            out_TE,
            size,
            eps,
            x_TE.stride(0),
            0 if delta_TE is None else delta_TE.stride(0),
            ADDS=delta_TE is not None,
            BLOCK=block,
            num_warps=min(MAX_WARPS, max(1, block // NUMBERS_PER_WARP)),
            **dependent_launch(x_TE),
        )
    return out_TE


@triton.jit
def norm_kernel(
    x,
    delta,
    weight,
    out,
    size,
    eps,
    x_stride,
    delta_stride,
    ADDS: tl.constexpr,
    BLOCK: tl.constexpr,
    IS_DEPENDENT: tl.constexpr,
):
    """One row; with ``ADDS`` it becomes the sum of itself and ``delta`` first."""
    let_next_start(IS_DEPENDENT)
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    is_inside = column < size
    factor = tl.load(weight + column, mask=is_inside, other=0.0)
    wait_for_previous(IS_DEPENDENT)
    value = tl.load(x + row * x_stride + column, mask=is_inside, other=0.0)
    if ADDS:
        more = tl.load(delta + row * delta_stride + column, mask=is_inside, other=0.0)
        value = (value.to(tl.float32) + more.to(tl.float32)).to(x.dtype.element_ty)
        tl.store(x + row * x_stride + column, value, mask=is_inside)
    wide = value.to(tl.float32)
    scale = tl.rsqrt(tl.sum(wide * wide, axis=0) / size + eps)
    normed = (wide * scale).to(out.dtype.element_ty)
    result = normed.to(tl.float32) * factor.to(tl.float32)
    tl.store(out + row * size + column, result.to(out.dtype.element_ty), mask=is_inside)
