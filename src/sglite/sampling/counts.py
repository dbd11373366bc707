"""How often each row has produced each token: what the penalties read.

Shape legend: S slots, V vocab.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from sglite.device.upload import upload

_FIRST_CAPACITY = 4


def run_now(work: Callable[[], None]) -> None:
    """What ``run`` is where nothing has to wait for work that was handed over before."""
    work()


class OutputCounts:
    """Count tables int32 ``[S, V]``, made only for rows with penalties and zeroed when released.

    Slots double in number when all are taken, so that a batch without penalties holds no memory.
    Slots are known at once; what happens to the table goes through ``run``, which may do it later
    but in order.
    """

    def __init__(
        self,
        vocab_size: int,
        device: torch.device,
        run: Callable[[Callable[[], None]], None] = run_now,
    ) -> None:
        self.counts_SV = torch.zeros((0, vocab_size), dtype=torch.int32, device=device)
        self._run = run
        self._num_slots = 0
        self._free_slots: list[int] = []

    @property
    def num_held(self) -> int:
        """Slots in use."""
        return self._num_slots - len(self._free_slots)

    def acquire(self, output_token_ids: list[int]) -> int:
        """Take a slot that counts these tokens."""
        if not self._free_slots:
            self._grow()
        slot = self._free_slots.pop()
        if output_token_ids:
            self._run(lambda: self._count(slot, output_token_ids))
        return slot

    def release(self, slot: int) -> None:
        """Zero a slot and take it back; the last one out frees the memory."""
        assert slot not in self._free_slots, f"count slot {slot} released twice"
        self._free_slots.append(slot)
        if self.num_held:
            self._run(lambda: self._zero(slot))
            return
        self._num_slots = 0
        self._free_slots.clear()
        self._run(lambda: self._resize(0))

    def add(self, slots: torch.Tensor, token_ids: torch.Tensor, valid: torch.Tensor) -> None:
        """Count one new token per slot where ``valid``; all three ``[rows with penalties]``."""
        self.counts_SV.index_put_((slots, token_ids), valid.to(torch.int32), accumulate=True)

    def _grow(self) -> None:
        before = self._num_slots
        after = self._num_slots = before + max(_FIRST_CAPACITY, before)
        self._free_slots = list(range(after - 1, before - 1, -1))
        self._run(lambda: self._resize(after))

    def _count(self, slot: int, token_ids: list[int]) -> None:
        tokens = upload(token_ids, torch.int64, self.counts_SV.device)
        ones = torch.ones_like(tokens, dtype=torch.int32)
        self.counts_SV[slot].index_put_((tokens,), ones, accumulate=True)

    def _zero(self, slot: int) -> None:
        self.counts_SV[slot].zero_()

    def _resize(self, num_slots: int) -> None:
        old = self.counts_SV
        added = max(0, num_slots - old.shape[0])
        self.counts_SV = torch.cat([old[:num_slots], old.new_zeros((added, old.shape[1]))])
