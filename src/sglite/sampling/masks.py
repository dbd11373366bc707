"""Which tokens some rows of a step may take: one bit each.

Shape legend: M masked rows, W words of 32 tokens, B bytes, R rows, V vocab.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sglite.device.upload import move, upload
from sglite.kernels.draw.ranking import rows_per_chunk
from sglite.sampling.batch import RowSelection


@dataclass(frozen=True, slots=True)
class TokenMasks:
    """Masks of some of a step's sampled runs; the other runs are free.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | entries | [M] | list | ascending indices into ``StepPlan.sample_runs`` |
    | words_MW | [M, ceil(V / 32)] | int32, host | bit v % 32 of word v // 32: token v is legal |

    Bits from V on mean nothing. An executor may read the words until the step is collected, so
    they stay as they are until then.
    """

    entries: list[int]
    words_MW: torch.Tensor

    def select(self, entries: list[int]) -> TokenMasks | None:
        """The masks of those that have one, by their place in ``entries`` (ascending), or None."""
        masked = set(self.entries)
        places = [place for place, entry in enumerate(entries) if entry in masked]
        if not places:
            return None
        return TokenMasks(places, self.words_of([entries[place] for place in places]))

    def words_of(self, entries: list[int]) -> torch.Tensor:
        """``words_MW`` of some of the entries, ascending; no copy where it is all of them."""
        if len(entries) == len(self.entries):
            return self.words_MW
        index = {entry: i for i, entry in enumerate(self.entries)}
        return self.words_MW[[index[entry] for entry in entries]]


class RowMasks:
    """The masks of R rows of logits, packed, on the device of the logits.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | rows | [M] | RowSelection | rows that have a mask |
    | words_MW | [M, ceil(V / 32)] | int32 | as in TokenMasks |
    """

    def __init__(self, masks: TokenMasks, num_rows: int, device: torch.device) -> None:
        """Enqueues a copy of ``masks``, whose entries are rows, without waiting for it."""
        self.rows = RowSelection(masks.entries, num_rows, device)
        self.words_MW = move(masks.words_MW, device)
        self._bits_8 = upload([1 << bit for bit in range(8)], torch.uint8, device)

    def hide_illegal(self, logits_RV: torch.Tensor) -> None:
        """Logits of tokens that are not legal become -inf, in place; other rows stay."""
        vocab_size = logits_RV.shape[1]
        step = rows_per_chunk(vocab_size, logits_RV.device)
        for index, part in self.rows.chunks(step):
            illegal = ~self.unpack(part, vocab_size)
            if isinstance(index, slice):
                logits_RV[index].masked_fill_(illegal, float("-inf"))
            else:
                logits_RV[index] = logits_RV[index].masked_fill(illegal, float("-inf"))

    def unpack(self, part: slice, vocab_size: int) -> torch.Tensor:
        """Bool ``[M, V]`` of some of the masks: True where legal."""
        # The lowest byte of a word comes first on everything that torch runs on.
        bytes_MB = self.words_MW[part].view(torch.uint8)
        return (bytes_MB[:, :, None] & self._bits_8).bool().flatten(1)[:, :vocab_size]
