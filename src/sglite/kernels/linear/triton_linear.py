"""Products with a weight matrix in Triton: of a few vectors, and one that knows no batch.

Both read the weight row by row as it lies, and add up in float32.

Shape legend: T tokens packed, I inputs, O outputs.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from sglite.kernels.triton_dependent import let_next_start, wait_for_previous
from sglite.kernels.triton_support import dependent_launch, next_power_of_2

VECTOR_WARPS = 4
VECTOR_COLUMNS = 1024
"""Eight for each thread: a load of 16 bytes."""

LANES = tl.constexpr(8)

FEW_OUTPUTS = 2048
"""Up to so many, a program takes fewer, lest there be too few programs for all of a GPU."""

TILE_ROWS, TILE_COLUMNS = 64, 64


def multiply_vectors(
    x_TI: torch.Tensor, weight_OI: torch.Tensor, bias_O: torch.Tensor | None
) -> torch.Tensor:
    """The product for a few rows: as fast as the weight can be read, once for all of them."""
    num_rows, num_in = x_TI.shape
    num_out = weight_OI.shape[0]
    out_TO = torch.empty((num_rows, num_out), dtype=x_TI.dtype, device=x_TI.device)
    block_out = 4 if num_out <= FEW_OUTPUTS else 8
    if num_rows:
        vectors_kernel[(triton.cdiv(num_out, block_out),)](
            x_TI,
            weight_OI,
            weight_OI if bias_O is None else bias_O,
            out_TO,
            num_rows,
            num_in,
            num_out,
            x_TI.stride(0),
            weight_OI.stride(0),
            BLOCK_ROWS=next_power_of_2(num_rows),
            BLOCK_OUT=block_out,
            BLOCK_IN=VECTOR_COLUMNS,
            HAS_BIAS=bias_O is not None,
            num_warps=VECTOR_WARPS,
            **dependent_launch(x_TI),
        )
    return out_TO


def multiply_invariantly(
    x_TI: torch.Tensor, weight_OI: torch.Tensor, bias_O: torch.Tensor | None
) -> torch.Tensor:
    """The product whose rows have the same bits in every batch, at every place in it.

    The tile, and with it the order of all sums, is chosen by the weight alone (He and others,
    "Defeating Nondeterminism in LLM Inference", Thinking Machines 2025). Libraries choose it by
    the number of rows as well.
    """
    num_rows, num_in = x_TI.shape
    num_out = weight_OI.shape[0]
    out_TO = torch.empty((num_rows, num_out), dtype=x_TI.dtype, device=x_TI.device)
    block_out = 32 if num_out <= FEW_OUTPUTS else 128
    if num_rows:
        tile_kernel[(triton.cdiv(num_rows, TILE_ROWS), triton.cdiv(num_out, block_out))](
            x_TI,
            weight_OI,
            weight_OI if bias_O is None else bias_O,
            out_TO,
            num_rows,
            num_in,
            num_out,
            x_TI.stride(0),
            weight_OI.stride(0),
            BLOCK_ROWS=TILE_ROWS,
            BLOCK_OUT=block_out,
            BLOCK_IN=TILE_COLUMNS,
            HAS_BIAS=bias_O is not None,
            num_warps=4,
            num_stages=3,
        )
    return out_TO


@triton.jit(do_not_specialize=["num_rows"])
def vectors_kernel(
    x,
    weight,
    bias,
    out,
    num_rows,
    num_in,
    num_out,
    x_stride,
    weight_stride,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_OUT: tl.constexpr,
    BLOCK_IN: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    IS_DEPENDENT: tl.constexpr,
):
    """Some outputs of every row. Each thread adds up the columns it reads, then threads meet.

    Tensors are [row, output, group of lanes, lane], so that no number changes its thread before.
    The next columns of the weight are under way while these are multiplied, and the first ones
    before there is an x to multiply them with.
    """
    let_next_start(IS_DEPENDENT)
    row = tl.arange(0, BLOCK_ROWS)
    output = tl.program_id(0) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    group = tl.arange(0, BLOCK_IN // LANES)[None, None, :, None]
    column = group * LANES + tl.arange(0, LANES)[None, None, None, :]
    is_row = (row < num_rows)[:, None, None, None]
    is_output = (output < num_out)[None, :, None, None]
    source = weight + (output.to(tl.int64) * weight_stride)[None, :, None, None] + column
    vectors = x + (row * x_stride)[:, None, None, None] + column
    weights = tl.load(source, mask=is_output & (column < num_in), other=0.0)
    wait_for_previous(IS_DEPENDENT)
    total = tl.zeros([BLOCK_ROWS, BLOCK_OUT, BLOCK_IN // LANES], tl.float32)
    for start in range(0, num_in, BLOCK_IN):
        following = start + BLOCK_IN
        is_following = is_output & (following + column < num_in)
        next_weights = tl.load(source + following, mask=is_following, other=0.0)
        values = tl.load(vectors + start, mask=is_row & (start + column < num_in), other=0.0)
        total += tl.sum(values.to(tl.float32) * weights.to(tl.float32), axis=3)
        weights = next_weights
    result = tl.sum(total, axis=2)
    store_results(result, bias, out, row, output, num_rows, num_out, HAS_BIAS)


@triton.jit(do_not_specialize=["num_rows"])
def tile_kernel(
    x,
    weight,
    bias,
    out,
    num_rows,
    num_in,
    num_out,
    x_stride,
    weight_stride,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_OUT: tl.constexpr,
    BLOCK_IN: tl.constexpr,
    HAS_BIAS: tl.constexpr,
):
    """A tile of the result, its columns added up from the first to the last.

    Rows that are not there are zero: a row neither knows how many there are nor which it is.
    """
    row = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    output = tl.program_id(1) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    column = tl.arange(0, BLOCK_IN)[None, :]
    is_row, is_output = (row < num_rows)[:, None], (output < num_out)[:, None]
    vectors = x + (row.to(tl.int64) * x_stride)[:, None] + column
    source = weight + (output.to(tl.int64) * weight_stride)[:, None] + column
    total = tl.zeros([BLOCK_ROWS, BLOCK_OUT], tl.float32)
    for start in range(0, num_in, BLOCK_IN):
        is_column = start + column < num_in
        values = tl.load(vectors + start, mask=is_row & is_column, other=0.0)
        weights = tl.load(source + start, mask=is_output & is_column, other=0.0)
        total = tl.dot(values, tl.trans(weights), total, input_precision="ieee")
    store_results(total, bias, out, row, output, num_rows, num_out, HAS_BIAS)


@triton.jit
def store_results(result, bias, out, row, output, num_rows, num_out, HAS_BIAS: tl.constexpr):
    """Add the bias and round, at the end."""
    if HAS_BIAS:
        result += tl.load(bias + output, mask=output < num_out, other=0.0).to(tl.float32)[None, :]
    target = out + row.to(tl.int64)[:, None] * num_out + output[None, :]
    is_result = (row < num_rows)[:, None] & (output < num_out)[None, :]
    tl.store(target, result.to(out.dtype.element_ty), mask=is_result)
