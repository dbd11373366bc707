"""Which tokens to try first on the way to a text's end.

A mask may allow a hundred thousand tokens, most of which lead to the same place. Here they become
a short list: what closes something, then the shortest values, then for each first byte a long and
a short token. Nothing depends on the list being right: whoever tries it asks the grammar.

Shape legend: V tokens of the vocabulary, W words of 32 tokens, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sglite.grammar.backend import Words

TokenIds = npt.NDArray[np.int64]

FEW_WORDS = 64
"""With at most this many words of a mask in use, each of its tokens is considered."""
MAX_CANDIDATES = 128
CLOSING_BYTES = frozenset(b'"}])>')
SHORT_VALUES = (b"0", b'""', b"[]", b"{}", b"null", b"true", b"false", b'"', b"[", b"{", b"-", b"1")
SPACES = (b" 0", b" ")
"""Before a value; there are tokens such as ``" -"``, which begin a longer one."""
FREE_TEXT = (b"z", b"Q", b" ", b"]", b"}")
"""Where all of these are allowed, the place is the middle of a string, and ``]`` closes nothing."""
SAMPLED_LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16)
"""Bytes; tokens of these lengths stand for the others where very many are allowed."""


class Candidates:
    """The tokens of a vocabulary in the order in which they are worth trying.

    ``pieces`` are the bytes of each token, empty where it is part of no text.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        id_of = {piece: i for i, piece in enumerate(pieces) if piece}
        self._probes_C = np.array([id_of.get(piece, 0) for piece in FREE_TEXT], np.int64)
        self._can_probe = all(piece in id_of for piece in FREE_TEXT)
        in_text, elsewhere = _closers_first(id_of, is_text=True), _closers_first(id_of)
        self._rank_in_text_V = _ranks(in_text, len(pieces))
        self._rank_V = _ranks(elsewhere, len(pieces))
        longest_first = sorted(range(len(pieces)), key=lambda i: _longest_first(pieces[i]))
        self._place_V = _ranks(longest_first, len(pieces))
        self._first_byte_V = np.array([piece[0] if piece else 0 for piece in pieces], np.int64)
        self._is_word_V = np.array([piece.isalnum() for piece in pieces], np.bool_)
        self._sample_C = np.array(sorted({*_sample(pieces), *elsewhere}), np.int64)

    def order(self, words_W: Words) -> list[int]:
        """Tokens that the mask ``words_W`` [W] int32 allows, at most MAX_CANDIDATES, best first."""
        allowed_C = self._allowed(words_W)
        is_text = self._can_probe and bool(is_allowed(words_W, self._probes_C).all())
        ranks_C = (self._rank_in_text_V if is_text else self._rank_V)[allowed_C]
        is_ranked_C = ranks_C < len(self._rank_V)
        first_C = allowed_C[is_ranked_C][np.argsort(ranks_C[is_ranked_C])]
        others_C = self._spread(allowed_C[~is_ranked_C])
        order: list[int] = np.concatenate((first_C, others_C))[:MAX_CANDIDATES].tolist()
        return order

    def _allowed(self, words_W: Words) -> TokenIds:
        used = np.flatnonzero(words_W)
        if len(used) > FEW_WORDS:
            return self._sample_C[is_allowed(words_W, self._sample_C)]
        bits = np.unpackbits(words_W[used].view(np.uint8), bitorder="little")
        in_use = np.flatnonzero(bits)
        return used[in_use >> 5] * 32 + (in_use & 31)

    def _spread(self, token_ids_C: TokenIds) -> TokenIds:
        """The longest token of each first byte, then the shortest ones, then the rest.

        Words and signs take turns: among letters without end, the one sign often leads on.
        """
        token_ids_C = token_ids_C[np.argsort(self._place_V[token_ids_C])]
        first_bytes_C = self._first_byte_V[token_ids_C]
        longest = np.sort(np.unique(first_bytes_C, return_index=True)[1])
        is_word = self._is_word_V[token_ids_C[longest]]
        turns = np.where(is_word, np.cumsum(is_word), np.cumsum(~is_word))
        longest = longest[np.argsort(turns, kind="stable")]
        from_behind = np.sort(np.unique(first_bytes_C[::-1], return_index=True)[1])
        shortest = len(token_ids_C) - 1 - from_behind
        shortest = shortest[~np.isin(shortest, longest)]
        chosen = np.concatenate((longest, shortest))
        return np.concatenate((token_ids_C[chosen], np.delete(token_ids_C, chosen)))


def is_allowed(words_W: Words, token_ids: TokenIds) -> npt.NDArray[np.bool_]:
    """For each of ``token_ids``, whether its bit is set in the mask ``words_W`` [W] int32."""
    bits = (words_W[token_ids >> 5] >> (token_ids & 31).astype(np.int32)) & 1
    return bits.astype(np.bool_)


def _ranks(token_ids: Sequence[int], vocab_size: int) -> TokenIds:
    """For each token its place in ``token_ids``, ``vocab_size`` where it is not in there."""
    ranks_V = np.full(vocab_size, vocab_size, np.int64)
    ranks_V[np.array(token_ids, np.int64)] = np.arange(len(token_ids))
    return ranks_V


def _closers_first(id_of: dict[bytes, int], *, is_text: bool = False) -> list[int]:
    """Tokens that close something, then short values. In a text only a quote closes."""
    closers = sorted((p for p in id_of if CLOSING_BYTES.issuperset(p)), key=lambda p: (-len(p), p))
    quoted = [piece for piece in closers if piece.startswith(b'"')]
    if is_text:
        return [id_of[piece] for piece in quoted]
    brackets = [piece for piece in closers if not piece.startswith(b'"')]
    values = [piece for piece in (*SHORT_VALUES, *SPACES) if piece in id_of]
    return [id_of[piece] for piece in dict.fromkeys(brackets + values + quoted)]


def _longest_first(piece: bytes) -> tuple[bool, int, bytes]:
    return not piece.isalnum(), -len(piece), piece


def _sample(pieces: Sequence[bytes]) -> list[int]:
    """Of each first byte, length and kind of token (letters, digits, mixed) one."""
    chosen: dict[tuple[int, int, int], int] = {}
    for i, piece in enumerate(pieces):
        if len(piece) in SAMPLED_LENGTHS:
            chosen.setdefault((piece[0], len(piece), _kind(piece)), i)
    return list(chosen.values())


def _kind(piece: bytes) -> int:
    tests = (piece.isdigit, piece.islower, piece.isupper, piece.isalnum)
    return next((kind for kind, test in enumerate(tests) if test()), len(tests))
