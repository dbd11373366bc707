"""Token ids to text while they arrive."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sglite.tokenizer.tokenizer import Tokenizer


class IncrementalDetokenizer:
    """The text of one request, in instalments.

    Whatever the ids and wherever they are cut, everything that ``push`` returned and what
    ``finish`` returns join to ``tokenizer.decode`` of all ids. Each id is looked at once; the
    state is a few bytes.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skipped = tokenizer.special_token_ids if skip_special_tokens else frozenset()
        self._decoder = tokenizer.make_decoder()

    @property
    def pending_text(self) -> str:
        """Complete characters that are known but not certain yet, see ``decoders``."""
        return self._decoder.pending_text

    def push(self, token_ids: Iterable[int]) -> str:
        """Take the next ids and return the text that is now certain."""
        return "".join([self.push_token(token_id) for token_id in token_ids])

    def push_token(self, token_id: int) -> str:
        """Take the next id and return the text that is now certain."""
        if token_id in self._skipped:
            return ""
        piece = self._tokenizer.token(token_id)
        return "" if piece is None else self._decoder.push(piece)

    def finish(self) -> str:
        """Return the rest; half a character at the end becomes U+FFFD."""
        return self._decoder.finish()
