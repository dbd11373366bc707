"""How often each row has produced each token: what the penalties read.

Shape legend: S slots, V vocab.
"""

from __future__ import annotations

import torch

_FIRST_CAPACITY = 4


class OutputCounts:
    """Count tables int32 ``[S, V]``, made only for rows with penalties and zeroed when released.

    Slots double in number when all are taken, so that a batch without penalties holds no memory.
    """

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self.counts_SV = torch.zeros((0, vocab_size), dtype=torch.int32, device=device)
        self._free_slots: list[int] = []

    @property
    def num_held(self) -> int:
        """Slots in use."""
        return self.counts_SV.shape[0] - len(self._free_slots)

    def acquire(self, output_token_ids: list[int]) -> int:
        """Take a slot that counts these tokens."""
        if not self._free_slots:
            self._grow()
        slot = self._free_slots.pop()
        if output_token_ids:
            tokens = torch.tensor(output_token_ids, device=self.counts_SV.device)
            ones = torch.ones_like(tokens, dtype=torch.int32)
            self.counts_SV[slot].index_put_((tokens,), ones, accumulate=True)
        return slot

    def release(self, slot: int) -> None:
        """Zero a slot and take it back; the last one out frees the memory."""
        assert slot not in self._free_slots, f"count slot {slot} released twice"
        self.counts_SV[slot].zero_()
        self._free_slots.append(slot)
        if self.num_held == 0:
            self.counts_SV = self.counts_SV.new_zeros((0, self.counts_SV.shape[1]))
            self._free_slots.clear()

    def add(self, slots: torch.Tensor, token_ids: torch.Tensor, valid: torch.Tensor) -> None:
        """Count one new token per slot where ``valid``; all three ``[rows with penalties]``."""
        self.counts_SV.index_put_((slots, token_ids), valid.to(torch.int32), accumulate=True)

    def _grow(self) -> None:
        old = self.counts_SV
        added = max(_FIRST_CAPACITY, old.shape[0])
        self.counts_SV = torch.cat([old, old.new_zeros((added, old.shape[1]))])
        self._free_slots = list(range(old.shape[0] + added - 1, old.shape[0] - 1, -1))
