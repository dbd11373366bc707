"""Inputs of a step: one launch per KV group, the first of which writes ids and positions too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

if TYPE_CHECKING:
    from sglite.kernels.step_inputs import StepInputs, StepTokens

BLOCK = 128


def step_inputs(
    tokens: StepTokens,
    last_token_W: torch.Tensor,
    page_tables: Sequence[torch.Tensor],
    out: StepInputs,
    *,
    page_size: int,
) -> None:
    """See the package."""
    num_tokens = len(tokens.rows_T)
    if num_tokens == 0:
        return
    for group, (page_table_WP, out_slots_T) in enumerate(
        zip(page_tables, out.out_slots, strict=True)
    ):
        step_inputs_kernel[(triton.cdiv(num_tokens, BLOCK),)](
            tokens.rows_T,
            tokens.positions_T,
            tokens.known_T,
            last_token_W,
            page_table_WP,
            out.input_ids_T,
            out.positions_T,
            out_slots_T,
            num_tokens,
            page_table_WP.stride(0),
            PAGE_SIZE=page_size,
            IS_FIRST=group == 0,
            BLOCK=BLOCK,
        )


@triton.jit(do_not_specialize=["num_tokens"])
def step_inputs_kernel(
    rows,
    positions,
    known,
    last_tokens,
    page_table,
    input_ids,
    positions_out,
    out_slots,
    num_tokens,
    table_stride,
    PAGE_SIZE: tl.constexpr,
    IS_FIRST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Some tokens: their slots in one KV group, and, the first time, what all groups share."""
    token = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_token = token < num_tokens
    row = tl.load(rows + token, mask=is_token, other=0).to(tl.int64)
    position = tl.load(positions + token, mask=is_token, other=0)
    place = row * table_stride + position // PAGE_SIZE
    page = tl.load(page_table + place, mask=is_token, other=0).to(tl.int64)
    tl.store(out_slots + token, page * PAGE_SIZE + position % PAGE_SIZE, mask=is_token)
    if IS_FIRST:
        token_id = tl.load(known + token, mask=is_token, other=0).to(tl.int64)
        last = tl.load(last_tokens + row, mask=is_token & (token_id < 0), other=0)
        tl.store(input_ids + token, tl.where(token_id < 0, last, token_id), mask=is_token)
        tl.store(positions_out + token, position.to(tl.int64), mask=is_token)
