"""Which tokens to try first on the way to a text's end.

A mask may allow a hundred thousand tokens, most of which lead to the same place. Here they become
a short list: what closes something, then the shortest values, then for each first byte a long and
a short token. Nothing depends on the list being right: whoever tries it asks the grammar.

Shape legend: W words of 32 tokens, C candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from sglite.grammar.backend import Words

FEW_WORDS = 64
"""With at most this many words of a mask in use, each of its tokens is considered."""
MAX_CANDIDATES = 48
CLOSING_BYTES = frozenset(b'"}])>')
SHORT_VALUES = (b"0", b'""', b"[]", b"{}", b"null", b"true", b"false", b'"', b"[", b"{", b"-", b"1")
FREE_TEXT = (b"z", b"Q", b" ", b"]", b"}")
"""Where all of these are allowed, the place is the middle of a string, and ``]`` closes nothing."""
SAMPLED_LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16)
"""Bytes; tokens of these lengths stand for the others where very many are allowed."""


class Candidates:
    """The tokens of a vocabulary in the order in which they are worth trying.

    ``pieces`` are the bytes of each token, empty where it is part of no text.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._id_of = {piece: i for i, piece in enumerate(pieces) if piece}
        self._free_text = [self._id_of[piece] for piece in FREE_TEXT if piece in self._id_of]
        self._sample_C = np.array(sorted(self._sample()), np.int64)
        self._rank_in_text = {i: rank for rank, i in enumerate(self._ordered(is_text=True))}
        self._rank = {i: rank for rank, i in enumerate(self._ordered(is_text=False))}

    def order(self, words_W: Words) -> list[int]:
        """Tokens that the mask ``words_W`` [W] int32 allows, at most MAX_CANDIDATES, best first."""
        allowed = self._allowed(words_W)
        if not allowed:
            return []
        rank = self._rank_in_text if self._is_free_text(words_W) else self._rank
        first = sorted((i for i in allowed if i in rank), key=rank.__getitem__)
        others = self._spread(i for i in allowed if i not in rank)
        return (first + others)[:MAX_CANDIDATES]

    def _allowed(self, words_W: Words) -> list[int]:
        used = np.flatnonzero(words_W)
        if len(used) <= FEW_WORDS:
            bits = np.unpackbits(words_W[used].view(np.uint8), bitorder="little")
            in_use = np.flatnonzero(bits)
            return (used[in_use >> 5] * 32 + (in_use & 31)).tolist()
        sample = self._sample_C
        return sample[is_allowed(words_W, sample)].tolist()

    def _is_free_text(self, words_W: Words) -> bool:
        probes = np.array(self._free_text, np.int64)
        return len(probes) == len(FREE_TEXT) and bool(is_allowed(words_W, probes).all())

    def _spread(self, token_ids: Iterable[int]) -> list[int]:
        """The longest token of each first byte, longest first, then the shortest of each."""
        longest: dict[int, int] = {}
        shortest: dict[int, int] = {}
        others: list[int] = []
        for i in sorted(token_ids, key=self._longest_first):
            first_byte = self._pieces[i][0]
            if first_byte not in longest:
                longest[first_byte] = i
                continue
            if first_byte in shortest:
                others.append(shortest[first_byte])
            shortest[first_byte] = i
        return [*longest.values(), *shortest.values(), *others]

    def _longest_first(self, token_id: int) -> tuple[bool, int, int]:
        piece = self._pieces[token_id]
        return not piece.isalnum(), -len(piece), token_id

    def _ordered(self, *, is_text: bool) -> list[int]:
        """Tokens that close something and short values, best first."""
        closers = [i for piece, i in self._id_of.items() if CLOSING_BYTES.issuperset(piece)]
        values = [self._id_of[piece] for piece in SHORT_VALUES if piece in self._id_of]

        def is_late(token_id: int) -> bool:
            # In a string a quote closes; outside it opens one.
            return self._pieces[token_id].startswith(b'"') != is_text

        closers.sort(key=lambda i: (is_late(i), -len(self._pieces[i]), i))
        if is_text:
            return [i for i in closers if not is_late(i)]
        early = [i for i in closers if not is_late(i)]
        return list(dict.fromkeys(early + values + closers))

    def _sample(self) -> set[int]:
        """Tokens for places where very many are allowed: closers, values, some of each length.

        Of each first byte and length those of one kind (letters, digits) come before mixed ones.
        """
        chosen: dict[tuple[int, int, int], int] = {}
        for i, piece in enumerate(self._pieces):
            if len(piece) in SAMPLED_LENGTHS:
                chosen.setdefault((piece[0], len(piece), _kind(piece)), i)
        return set(chosen.values()) | set(self._ordered(is_text=False))


def is_allowed(words_W: Words, token_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """For each of ``token_ids``, whether its bit is set in the mask ``words_W`` [W] int32."""
    bits = (words_W[token_ids >> 5] >> (token_ids & 31).astype(np.int32)) & 1
    return bits.astype(np.bool_)


def _kind(piece: bytes) -> int:
    tests = (piece.isdigit, piece.islower, piece.isupper, piece.isalnum)
    return next((kind for kind, test in enumerate(tests) if test()), len(tests))
