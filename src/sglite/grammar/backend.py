"""The contract of a grammar library: compile, mask for a row, accept, roll back, jump.

Shape legend: W words of 32 tokens; bit ``i`` of word ``w`` is token ``32 * w + i``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from sglite.request import GrammarSpec

Words = np.ndarray[tuple[int, ...], np.dtype[np.int32]]


def set_bits(words_W: Words, token_ids: Iterable[int]) -> None:
    """Allow some tokens more."""
    unsigned_W = words_W.view(np.uint32)
    for token_id in token_ids:
        unsigned_W[token_id >> 5] |= np.uint32(1 << (token_id & 31))


class Matcher(Protocol):
    """Where one text stands in a grammar. Not for two threads at once.

    Tokens that end an answer (EOS) belong to no text: a matcher never accepts or allows one.
    """

    def fill_mask(self, words_W: Words) -> None:
        """Set the bits of all tokens that may come next, clear the others.

        Where tokens are forced, it may be the first of them alone, though others that begin the
        same text would be accepted.

        Gives up the interpreter lock. Raises GrammarTooComplexError where the grammar needs too
        much work at this place.
        """

    def accept(self, token_ids: Sequence[int]) -> int:
        """Take tokens as far as they are allowed; how many were. The others change nothing."""

    def count_allowed(self, token_ids: Sequence[int]) -> int:
        """How many of the tokens :meth:`accept` would take. Changes nothing."""

    def ends_after(self, token_ids: Sequence[int]) -> bool:
        """True where :meth:`accept` would take all of them and the text may end there.

        Changes nothing. Asked at every token of an answer: a few microseconds.
        """

    def roll_back(self, num_tokens: int) -> None:
        """Take back the last tokens accepted, at most as many as there were."""

    def forced_tokens(self) -> list[int]:
        """The tokens that every text from here on begins with; may be empty. Changes nothing.

        They are those that the tokenizer itself gives for the text that is forced.
        """

    def fork(self) -> Matcher:
        """A matcher of its own at the same place."""

    @property
    def is_accepting(self) -> bool:
        """True where the text may end here."""

    @property
    def is_complete(self) -> bool:
        """True where it must end here: accepting, and nothing may follow."""


class CompiledGrammar(Protocol):
    """A grammar that is ready for any number of texts; safe to use from several threads.

    ``ignored_keywords`` are parts of a JSON schema that it does not enforce, sorted; ``num_bytes``
    estimates the memory that it holds.
    """

    ignored_keywords: tuple[str, ...]
    num_bytes: int

    def start(self) -> Matcher:
        """A matcher before the first token."""


class GrammarBackend(Protocol):
    """Compiles grammars for one vocabulary."""

    name: str

    def compile(self, spec: GrammarSpec) -> CompiledGrammar:
        """Compile. Gives up the interpreter lock.

        Raises RequestError, with ``param`` naming the sampling parameter (the spec's kind), where
        the spec is no grammar, cannot be fulfilled, is too large, or holds schema keywords that
        cannot be enforced (the message names them) and may not be ignored.
        """


class GrammarTooComplexError(Exception):
    """A library gave up in the middle of a text: its limits of work or memory are reached."""
