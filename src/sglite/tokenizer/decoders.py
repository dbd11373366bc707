"""Token pieces to text, one at a time: streaming twins of the decoders of `tokenizers`.

A decoder of a ``tokenizer.json`` maps the whole list of pieces to one text. The classes here give
the same text in instalments: each piece is looked at once, and the state is bounded. Joining
everything that ``push`` returned and what ``finish`` returns gives the text of the whole list.

Two kinds cover the language models in use: byte-level BPE (GPT-2, Llama 3, Qwen, DeepSeek) and the
SentencePiece chain (Llama 2, Mistral, Gemma, T5). ``decoder_factory`` picks one.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Protocol

MAX_HELD_BYTES = 64
"""Longest run of byte pieces that waits for its end, see :class:`SentencePieceDecoder`."""

PieceMap = Callable[[str, bool], str]
"""(piece, is the first of the text) -> piece."""


class PieceDecoder(Protocol):
    """One text in the making."""

    @property
    def pending_text(self) -> str:
        """Complete characters that ``push`` has not returned yet; nothing changes."""
        ...

    def push(self, piece: str) -> str:
        """Take the next piece and return the text that is now certain."""
        ...

    def finish(self) -> str:
        """Return the rest of the text; the decoder is spent."""
        ...


def _byte_level_alphabet() -> dict[str, int]:
    """Characters that stand for bytes in byte-level BPE (the table of GPT-2).

    Printable Latin-1 bytes stand for themselves, the 68 others follow from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(0x100 + index): byte for index, byte in enumerate(others)})
    return alphabet


_BYTE_OF_CHAR = _byte_level_alphabet()


def byte_level_bytes(piece: str) -> bytes:
    """Bytes of a byte-level piece; one with a foreign character (an added token) is plain text."""
    try:
        return bytes([_BYTE_OF_CHAR[char] for char in piece])
    except KeyError:
        return piece.encode("utf-8")


def byte_fallback_value(piece: str) -> int | None:
    """Byte of a SentencePiece byte piece such as ``<0x0A>``; None for any other piece."""
    if len(piece) != 6 or not piece.startswith("<0x") or not piece.endswith(">"):
        return None
    try:
        return int(piece[3:5], 16)
    except ValueError:
        return None


class ByteLevelDecoder:
    """Pieces are bytes; what is not UTF-8 becomes U+FFFD, one per maximal invalid part.

    Holds at most the three bytes of an unfinished character.
    """

    pending_text = ""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, piece: str) -> str:
        """Take the next piece and return the characters that it completes."""
        return self._utf8.decode(byte_level_bytes(piece))

    def finish(self) -> str:
        """Return U+FFFD if the text ends inside a character."""
        return self._utf8.decode(b"", True)


class ByteRun:
    """Consecutive byte pieces, which are text only if all of them together are UTF-8.

    Otherwise each is one U+FFFD. So a run that is valid so far waits for its end; one that is
    known to be invalid does not.
    """

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="strict")
        self._num_held = 0
        self._is_invalid = False
        self.complete_text = ""

    def push(self, byte: int) -> str:
        """Take one byte and return the text that is certain, usually none."""
        if self._is_invalid:
            return "\ufffd"
        self._num_held += 1
        try:
            self.complete_text += self._utf8.decode(bytes([byte]))
        except UnicodeDecodeError:
            self._is_invalid = True
            self.complete_text = ""
            return "\ufffd" * self._num_held
        return self._flush_complete() if self._num_held >= MAX_HELD_BYTES else ""

    def end(self) -> str:
        """Return the rest of the run and start anew."""
        if self._is_invalid:
            text = ""
        elif self._num_unfinished:
            text = "\ufffd" * self._num_held
        else:
            text = self.complete_text
        self._utf8.reset()
        self._num_held = 0
        self._is_invalid = False
        self.complete_text = ""
        return text

    @property
    def _num_unfinished(self) -> int:
        """Bytes of the character that is not complete yet."""
        return len(self._utf8.getstate()[0])

    def _flush_complete(self) -> str:
        """Give up waiting: complete characters go out, so that a long run still streams."""
        text, self.complete_text = self.complete_text, ""
        self._num_held = self._num_unfinished
        return text


class SentencePieceDecoder:
    """Maps piece by piece, joins runs of byte pieces, strips leading characters of the whole text.

    A valid run of bytes is held until it ends, since the one-shot decoder replaces all of an
    invalid run. After 64 bytes its complete characters are shown nevertheless: a long text in a
    script that has no pieces must stream. Only there, and only if an invalid byte follows, does
    the text differ from the decoder of `tokenizers` (it keeps more of what was valid).
    """

    def __init__(
        self,
        maps_before: tuple[PieceMap, ...],
        maps_after: tuple[PieceMap, ...],
        *,
        byte_fallback: bool,
        strip: tuple[str, int],
    ) -> None:
        self._maps_before = maps_before
        self._maps_after = maps_after
        self._byte_fallback = byte_fallback
        self._strip_char, self._num_to_strip = strip
        self._run = ByteRun()
        self._is_first = True
        self._is_first_after = True

    @property
    def pending_text(self) -> str:
        """Complete characters of the byte run that is held."""
        if not self._run.complete_text:
            return ""
        return self._stripped(self._mapped(self._run.complete_text))[0]

    def push(self, piece: str) -> str:
        """Take the next piece and return the text that is now certain."""
        for piece_map in self._maps_before:
            piece = piece_map(piece, self._is_first)
        self._is_first = False
        byte = byte_fallback_value(piece) if self._byte_fallback else None
        if byte is not None:
            return self._emit(self._run.push(byte))
        return self._emit(self._run.end()) + self._emit(piece, is_piece=True)

    def finish(self) -> str:
        """Return what was held."""
        return self._emit(self._run.end())

    def _mapped(self, text: str) -> str:
        for piece_map in self._maps_after:
            text = piece_map(text, self._is_first_after)
        return text

    def _stripped(self, text: str) -> tuple[str, int]:
        """Text without the leading characters to strip, and how many may still be stripped."""
        left = self._num_to_strip
        while left and text:
            if text[0] != self._strip_char:
                return text, 0
            text = text[1:]
            left -= 1
        return text, left

    def _emit(self, text: str, *, is_piece: bool = False) -> str:
        if not text and not is_piece:
            return ""
        text = self._mapped(text)
        self._is_first_after = False
        text, self._num_to_strip = self._stripped(text)
        return text
