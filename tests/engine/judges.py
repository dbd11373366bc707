"""Constraints for tests: they let other tokens stand than those that were sampled."""

from __future__ import annotations

from sglite.grammar.backend import Words
from sglite.grammar.constraint import Taken
from sglite.scheduler.plan import RowSetup
from tests.scheduler.simulation import standing_tokens


class Judge:
    """Lets stand what ``standing_tokens`` says, for a request with this prompt.

    ``seen`` are the sampled tokens that it was told; with ``ends_after`` so many that stand, the
    answer is over.
    """

    def __init__(
        self, prompt: list[int], setup: RowSetup, *, ends_after: int | None = None
    ) -> None:
        self.needs_mask = True
        self.seen: list[int] = []
        self._token_ids = list(prompt)
        self._limit = len(prompt) + setup.max_new_tokens
        self._end = None if ends_after is None else len(prompt) + ends_after

    def fill_mask(self, words_W: Words) -> None:
        words_W[:] = -1

    def take(self, token_id: int) -> Taken:
        self.seen.append(token_id)
        stands = standing_tokens(self._token_ids, token_id, self._limit)
        self._token_ids += stands
        is_end = self._end is not None and len(self._token_ids) >= self._end
        return Taken(stands, num_forced=len(stands) - 1, is_end=is_end)

    def replay(self, token_ids: list[int]) -> None:
        self._token_ids += token_ids
