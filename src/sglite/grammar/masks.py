"""Fills the masks of a step in threads, while its forward pass runs.

Shape legend: M masked rows, W words of 32 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import torch

from sglite.grammar.backend import Words
from sglite.host.cores import usable_cores
from sglite.sampling.masks import TokenMasks

MAX_THREADS = 4
MIN_ROWS_PER_THREAD = 8
"""Handing work to a thread costs as much as a mask."""


class MaskSource(Protocol):
    """What knows the tokens that may come next."""

    def fill_mask(self, words_W: Words) -> None:
        """Write the bits of all tokens. Gives up the interpreter lock for most of it."""


class FilledMasks(NamedTuple):
    """``failed``: what went wrong, by index into ``masks.entries``; those rows are free."""

    masks: TokenMasks
    failed: dict[int, Exception]


class PendingMasks:
    """Masks on their way."""

    def __init__(self, masks: TokenMasks, parts: list[Future[dict[int, Exception]]]) -> None:
        self._masks = masks
        self._parts = parts

    def wait(self) -> FilledMasks:
        """The masks, when they are there."""
        failed: dict[int, Exception] = {}
        for part in self._parts:
            failed.update(part.result())
        return FilledMasks(self._masks, failed)


class MaskFiller:
    """Threads that fill masks for a vocabulary of ``vocab_size`` logits."""

    def __init__(self, vocab_size: int, *, num_threads: int | None = None) -> None:
        self._num_words = -(-vocab_size // 32)
        self._num_threads = num_threads or min(MAX_THREADS, len(usable_cores()))
        self._pool = ThreadPoolExecutor(self._num_threads, thread_name_prefix="grammar-masks")

    def begin(self, entries: list[int], sources: Sequence[MaskSource]) -> PendingMasks:
        """Start to fill a mask for each entry.

        The sources are not to be changed until the masks are there.
        """
        words_MW = torch.empty((len(entries), self._num_words), dtype=torch.int32)
        num_parts = min(self._num_threads, -(-len(sources) // MIN_ROWS_PER_THREAD))
        parts = [
            self._pool.submit(_fill, sources, range(part, len(sources), num_parts), words_MW)
            for part in range(num_parts)
        ]
        return PendingMasks(TokenMasks(entries, words_MW), parts)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True)


def _fill(
    sources: Sequence[MaskSource], rows: range, words_MW: torch.Tensor
) -> dict[int, Exception]:
    failed: dict[int, Exception] = {}
    words = words_MW.numpy()
    for row in rows:
        try:
            sources[row].fill_mask(words[row])
        except Exception as error:  # noqa: BLE001  a border: it is told to that request alone
            failed[row] = error
            words[row] = -1
    return failed
