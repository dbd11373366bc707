"""How the ranks of an accelerator share what one of them draws, and find out that they part.

As :mod:`~sglite.executors.step_agreement`, but nothing waits: the step itself sums tokens and
digests of all ranks, maybe within a captured graph. Where digests differ every rank gets
:data:`PARTED` in place of the tokens, and reads it when it collects the step.

The digest is of a set of triples, so that it does not depend on their order, nor on what pads a
batch:

    digest = digest x BASE + sum over tokens of mix(id, position, slots)    mod 2^64

Shape legend: T tokens packed, S sampled runs, L rows left to the sampler, W rows of the executor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sglite.executors.step_agreement import BASE, odd_numbers

if TYPE_CHECKING:
    from sglite.models.layers.parallel import RankGroup

PARTED = -2
"""What stands for a token where ranks have computed with something else than others."""


class DeviceAgreement:
    """One rank's part in it; all ranks of ``group`` do the same steps. Rank 0 draws.

    ``num_slots`` are the slots of a token, one for each KV group.
    """

    def __init__(self, group: RankGroup, *, num_slots: int, device: torch.device) -> None:
        self._group = group
        self.is_drawing = group.rank == 0
        self._digest = torch.zeros((), dtype=torch.int64, device=device)
        self._weights = odd_numbers(2 + num_slots, device)[:, None]

    def begin(self, inputs: torch.Tensor, is_padding_T: torch.Tensor) -> None:
        """Take what a step computes with into the digest: ids, positions and slots, one line each,
        int64 ``[2 + num_slots, T]``."""
        mixed_T = (inputs * self._weights).sum(0)
        mixed_T = (mixed_T ^ (mixed_T >> 29)) * ~is_padding_T
        self._digest.mul_(BASE).add_(mixed_T.sum())

    def share(
        self, token_ids_S: torch.Tensor, rows_S: torch.Tensor, last_token_W: torch.Tensor
    ) -> None:
        """Give everyone the tokens that rank 0 has in ``token_ids_S`` (int32, -1: none can be).

        The rows of the other ranks remember them as rank 0 does.
        """
        num_samples = len(token_ids_S)
        words = last_token_W.new_zeros(num_samples + self._group.size)
        words[num_samples + self._group.rank] = self._digest
        if self.is_drawing:
            words[:num_samples] = token_ids_S
        self._group.all_reduce(words)
        drawn_S, digests = words[:num_samples], words[num_samples:]
        if not self.is_drawing:
            last_token_W.index_copy_(0, rows_S.long(), drawn_S.clamp(min=0))
        has_parted = (digests != digests[0]).any()
        token_ids_S.copy_(torch.where(has_parted, PARTED, drawn_S))

    def hand_on(self, token_ids_L: torch.Tensor) -> torch.Tensor:
        """What the sampler of rank 0 gave for some rows (int64), in place of ``token_ids_L``."""
        return self._group.broadcast(token_ids_L)
