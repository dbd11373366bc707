"""Which tokens some rows of a step may take: one bit each.

Shape legend: M masked rows, W words of 32 tokens, V vocab.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class TokenMasks:
    """Masks of some of a step's sampled runs; the other runs are free.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | entries | [M] | list | ascending indices into ``StepPlan.sample_runs`` |
    | words_MW | [M, ceil(V / 32)] | int32, host | bit v % 32 of word v // 32: token v is legal |
    """

    entries: list[int]
    words_MW: torch.Tensor
