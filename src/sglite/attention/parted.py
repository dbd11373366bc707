"""The attention of a step whose kinds of runs have backends of their own.

Shape legend: T tokens packed, single tokens first. See docs/shapes.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from sglite.attention.backend import BoundAttention


class Part(NamedTuple):
    """Packed tokens from ``begin`` to ``end``, and what attends them."""

    begin: int
    end: int
    attention: BoundAttention


@dataclass(slots=True)
class PartedAttention:
    """What the attention of one KV group reads, in place of an AttentionMetadata.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | out_slots_T | [T] | int64 | slot where each new token's K and V are stored |
    | run_offsets | [R + 1] | list | first packed token of each run, then T |
    | seq_lens | [R] | list | KV length of each row after this step |
    | parts | | list | all tokens in order, each in one part; prepared by whoever made them |

    Only rotations that depend on a sequence's length read the two lists: elsewhere, and in a
    captured step, they may be empty.
    """

    out_slots_T: torch.Tensor
    run_offsets: list[int]
    seq_lens: list[int]
    parts: list[Part]
