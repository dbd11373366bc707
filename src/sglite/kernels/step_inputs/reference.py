"""Inputs of a step in torch: the specification.

Shape legend: T tokens packed, W rows of the executor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from sglite.kernels.step_inputs import StepInputs, StepTokens


def step_inputs(
    tokens: StepTokens,
    last_token_W: torch.Tensor,
    page_tables: Sequence[torch.Tensor],
    out: StepInputs,
    *,
    page_size: int,
) -> None:
    """See the package."""
    rows_T, positions_T = tokens.rows_T.long(), tokens.positions_T.long()
    known_T = tokens.known_T.long()
    out.input_ids_T.copy_(torch.where(known_T >= 0, known_T, last_token_W[rows_T]))
    out.positions_T.copy_(positions_T)
    for page_table_WP, out_slots_T in zip(page_tables, out.out_slots, strict=True):
        pages_T = page_table_WP[rows_T, positions_T // page_size].long()
        out_slots_T.copy_(pages_T * page_size + positions_T % page_size)
