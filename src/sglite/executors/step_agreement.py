"""What the ranks of an engine tell each other after every step: tokens, and that they agree.

One sum over ranks carries both. Everyone adds zeros but in its own places: who draws adds the new
tokens, each rank a digest of all that it has computed with. The digest is

    digest = (digest x BASE + sum_i values[i] x weights[i])  mod 2^64

over ids, positions and slots of the tokens of every step; what was drawn in one is among the ids of
the next. It is made where the tensors are. A rank that reads other tokens, or writes them to other
pages, is found in the same step, by all ranks.

Shape legend: T tokens packed, R sampled runs. See docs/shapes.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sglite.errors import RankLostError
from sglite.executors.forward_batch import ForwardBatch, HostBatch
from sglite.scheduler.plan import StepPlan

if TYPE_CHECKING:
    from sglite.models.layers.parallel import RankGroup

BASE = 0x9E3779B97F4A7C15 - (1 << 64)
"""Odd, so that nothing is lost when the digest is multiplied with it."""


class StepAgreement:
    """One rank's part in it. All ranks of ``group`` begin and share the same steps in one order.

    ``drawing_rank`` of the group draws the tokens; None: nobody of it does, as the group is a stage
    of a pipeline before its last. ``group`` None: a stage of one rank. Values are int64 and wrap
    around.
    """

    def __init__(
        self,
        group: RankGroup | None,
        *,
        max_rows: int,
        device: torch.device,
        drawing_rank: int | None = 0,
    ) -> None:
        self._rank, size = (0, 1) if group is None else (group.rank, group.size)
        self.is_drawing = self._rank == drawing_rank
        self._group = group
        self._max_rows = max_rows
        self._words = torch.zeros(max_rows + size, dtype=torch.int64, device=device)
        self._digest = torch.zeros((), dtype=torch.int64, device=device)
        self._weights = odd_numbers(1024, device)

    @property
    def digest(self) -> int:
        """Of all that was computed with so far."""
        return int(self._digest)

    def begin(self, plan: StepPlan, batch: ForwardBatch | HostBatch) -> None:
        """Take what a step computes with into the digest."""
        groups = batch.groups if isinstance(batch, HostBatch) else batch.attention
        self._fold(torch.as_tensor(batch.input_ids_T))
        self._fold(torch.as_tensor(batch.positions_T) + plan.step_id)
        for group in groups:
            self._fold(torch.as_tensor(group.out_slots_T))

    def include(self, number: int) -> None:
        """Take something into the digest that all ranks must have in common."""
        self._fold(torch.tensor([number], device=self._digest.device))

    def share(self, plan: StepPlan, token_ids_R: torch.Tensor | None) -> torch.Tensor:
        """The tokens that ``plan`` samples, int64 ``[R]``, from who draws them.

        The others give None. RankLostError, on every rank, where one computed something else.
        """
        words, num_rows = self._words.zero_(), len(plan.sample_runs)
        digests = words[self._max_rows :]
        digests[self._rank] = self._digest
        if token_ids_R is not None:
            words[:num_rows] = token_ids_R
        if self._group is not None:
            self._group.all_reduce(words)
            self._compare(plan, digests)
        return words[:num_rows].clone()

    def _compare(self, plan: StepPlan, digests: torch.Tensor) -> None:
        found = digests.tolist()
        if len(set(found)) == 1:
            return
        ranks = ", ".join(f"{rank}: {digest & 0xFFFF:04x}" for rank, digest in enumerate(found))
        raise RankLostError(
            f"ranks disagree in step {plan.step_id} (digests by rank: {ranks}): they read other "
            "tokens, or wrote to other pages"
        )

    def _fold(self, values: torch.Tensor) -> None:
        count = values.shape[0]
        if count > self._weights.shape[0]:
            self._weights = odd_numbers(2 * count, values.device)
        self._digest *= BASE
        self._digest += (values * self._weights[:count]).sum()


def odd_numbers(count: int, device: torch.device) -> torch.Tensor:
    """Odd numbers that are all different, and look like noise: int64 ``[count]``."""
    index = torch.arange(1, count + 1, dtype=torch.int64, device=device)
    return (index * BASE) ^ ((index * BASE) >> 29) | 1
