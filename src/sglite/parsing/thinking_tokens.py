"""A model's thoughts by their tokens: where they are in a prompt, and how long they get."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from sglite.request import Thinking

PromptEnd = Literal["open", "closed", "plain"]
"""A prompt's end is inside of thoughts, behind them, or knows nothing of them."""


def end_of_prompt(
    token_ids: Sequence[int], *, start_id: int, end_id: int, control_ids: Collection[int]
) -> PromptEnd:
    """How thoughts stand at the end of a prompt.

    Only what follows the last of ``control_ids``, such as the token that begins a turn, counts: an
    earlier message may quote the tokens.
    """
    for token_id in reversed(token_ids):
        if token_id == start_id:
            return "open"
        if token_id == end_id:
            return "closed"
        if token_id in control_ids:
            break
    return "plain"


class ThoughtCounter:
    """Counts an answer's tokens of thought, the ones that begin and end them too."""

    def __init__(self, thinking: Thinking | None) -> None:
        self._thinking = thinking
        self._is_inside = thinking is not None and thinking.is_open
        self._may_begin = thinking is not None and not thinking.is_open
        self.count = 0

    def push(self, token_ids: Iterable[int]) -> None:
        """Take the next tokens of the answer."""
        thinking = self._thinking
        if thinking is None or not (self._is_inside or self._may_begin):
            return
        for token_id in token_ids:
            if self._may_begin:
                self._is_inside = token_id == thinking.start_token_id
                self._may_begin = False
            if not self._is_inside:
                return
            self.count += 1
            self._is_inside = token_id != thinking.end_token_id
