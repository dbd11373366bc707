"""What a model reads of a step's tokens, made on the device: signature and dispatch.

Token ids, positions and slots in the KV pool follow from the rows, their last tokens and their page
tables, which stay on the device. So the host can launch a step without having seen what the step
before sampled.

Shape legend: T tokens packed, W rows of the executor, P pages of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sglite.kernels import triton_support
from sglite.kernels.step_inputs import reference


@dataclass(frozen=True, slots=True)
class StepTokens:
    """The tokens of a step as the host knows them, all ``[T]``, int32, on the device.

    | field | meaning |
    |---|---|
    | rows_T | row of the executor; one that pads may come repeatedly |
    | positions_T | position in the row's sequence |
    | known_T | the token's id; -1 where it is what was sampled last for the row |
    """

    rows_T: torch.Tensor
    positions_T: torch.Tensor
    known_T: torch.Tensor


@dataclass(frozen=True, slots=True)
class StepInputs:
    """What is written, all int64 ``[T]``; one tensor of slots per KV group."""

    input_ids_T: torch.Tensor
    positions_T: torch.Tensor
    out_slots: Sequence[torch.Tensor]


def step_inputs(
    tokens: StepTokens,
    last_token_W: torch.Tensor,
    page_tables: Sequence[torch.Tensor],
    out: StepInputs,
    *,
    page_size: int,
) -> None:
    """Fill ``out``.

    ``last_token_W`` is int64, ``page_tables`` are int32 ``[W, P]``, one per KV group. Every
    position lies within the P pages. The slot of a token is that of its position:
    ``page_table[row, position // page_size] * page_size + position % page_size``.
    """
    if triton_support.runs_on(last_token_W):
        from sglite.kernels.step_inputs import triton_step_inputs

        triton_step_inputs.step_inputs(tokens, last_token_W, page_tables, out, page_size=page_size)
        return
    reference.step_inputs(tokens, last_token_W, page_tables, out, page_size=page_size)
