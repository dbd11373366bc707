"""What a grammar library has to know of a tokenizer, as plain data that fits into a message."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec

from sglite.tokenizer.tokenizer import Tokenizer, tokenizer_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

Encode = Callable[[bytes], list[int]]
"""Token ids of a part of a text; their bytes are the part's."""

MAX_PIECE_BYTES = 256
"""A longer token is never used: none of a real vocabulary is text that a grammar asks for."""


class Vocabulary(msgspec.Struct, frozen=True):
    """The text of each token.

    ``pieces`` has an entry for each of the model's logits: the bytes of the token within a text,
    empty where it can be no part of one (control tokens, ends of answers, ids without a token).
    ``end_token_ids`` end an answer. ``tokenizer_json`` is a ``tokenizer.json``, from which forced
    text gets the tokens that the model was trained with; without one it gets the longest ones.
    """

    pieces: tuple[bytes, ...]
    end_token_ids: tuple[int, ...]
    tokenizer_json: str | None = None

    def make_encode(self) -> Encode:
        """How a part of a text becomes tokens."""
        return _Encoder(self)

    @property
    def num_words(self) -> int:
        """Words of 32 tokens that a mask has."""
        return (len(self.pieces) + 31) // 32


def read_vocabulary(
    tokenizer: Tokenizer, vocab_size: int, *, text_tokens: Iterable[str] = ()
) -> Vocabulary:
    """The vocabulary of ``tokenizer`` for a model whose logits are ``vocab_size`` wide.

    Special tokens are control tokens and part of no text, except those in ``text_tokens``: markers
    of tool calls and thoughts that a grammar may ask for. The bytes of a SentencePiece token are
    those within a text: ``▁`` is a space and ``<0x0A>`` one byte.
    """
    shown = set(text_tokens)
    hidden = {i for i in tokenizer.special_token_ids if tokenizer.token(i) not in shown}
    hidden |= tokenizer.eos_token_ids
    pieces = [b"" if i in hidden else tokenizer.piece_bytes(i) for i in range(vocab_size)]
    return Vocabulary(
        pieces=tuple(b"" if len(piece) > MAX_PIECE_BYTES else piece for piece in pieces),
        end_token_ids=tuple(sorted(i for i in tokenizer.eos_token_ids if i < vocab_size)),
        tokenizer_json=tokenizer_json(tokenizer),
    )


class _Encoder:
    """The tokenizer's own tokens where their bytes are the text's; else the longest that fit.

    A tokenizer may put a space before a text (SentencePiece), or take a part of it for a control
    token: then the result has other bytes. Behind a line break it puts no space.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._pieces = vocabulary.pieces
        self._backend = _load(vocabulary.tokenizer_json)
        self._id_of = {piece: i for i, piece in enumerate(self._pieces) if piece}
        self._max_len = max(map(len, self._id_of), default=0)

    def __call__(self, part: bytes) -> list[int]:
        """Token ids of ``part``. Bytes that no token has end it."""
        for before in (b"", b"\n"):
            token_ids = self._try_encode(before, part)
            if token_ids is not None:
                return token_ids
        return self._encode_greedily(part)

    def _try_encode(self, before: bytes, part: bytes) -> list[int] | None:
        if self._backend is None:
            return None
        try:
            text = (before + part).decode("utf-8")
        except UnicodeDecodeError:
            return None
        token_ids = list(self._backend.encode(text, add_special_tokens=False).ids)
        if any(token_id >= len(self._pieces) for token_id in token_ids):
            return None
        while before and token_ids and b"".join(self._bytes_of(token_ids)) != part:
            token_ids.pop(0)
        return token_ids if b"".join(self._bytes_of(token_ids)) == part else None

    def _bytes_of(self, token_ids: list[int]) -> list[bytes]:
        return [self._pieces[token_id] for token_id in token_ids]

    def _encode_greedily(self, part: bytes) -> list[int]:
        token_ids = []
        start = 0
        while start < len(part):
            longest = min(self._max_len, len(part) - start)
            ends = range(start + longest, start, -1)
            end = next((end for end in ends if part[start:end] in self._id_of), None)
            if end is None:
                break
            token_ids.append(self._id_of[part[start:end]])
            start = end
        return token_ids


def _load(text: str | None) -> Backend | None:
    if text is None:
        return None
    from tokenizers import Tokenizer as Backend

    return Backend.from_str(text)
