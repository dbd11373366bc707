"""A parser of answers made of a scanner of thoughts and one of calls."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sglite.parsing.pieces import AnswerParser, AnswerPiece
from sglite.parsing.tape import Scan, Tape
from sglite.parsing.thoughts import scan_thoughts

WordScanner = Callable[[Tape], Scan[None]]
"""Reads all that is left on a tape."""


class ScannedAnswer:
    """An ``AnswerParser``: thoughts come first, calls are looked for in what follows them."""

    def __init__(self, scan_words: WordScanner, *, has_thoughts: bool, is_thinking: bool) -> None:
        self._tape = Tape()
        self._has_ended = False
        self._scan_words = scan_words
        self._scan = self._scan_all(has_thoughts, is_thinking)

    def push(self, text: str) -> AnswerPiece:
        """Take the next text and return what is certain by now."""
        if self._has_ended:
            return AnswerPiece(text)
        self._tape.append(text)
        return self._advance()

    def finish(self) -> AnswerPiece:
        """The answer ended: return the rest."""
        self._has_ended = True
        self._tape.end()
        return self._advance()

    def _advance(self) -> AnswerPiece:
        next(self._scan, None)
        return self._tape.findings.hand_over()

    def _scan_all(self, has_thoughts: bool, is_thinking: bool) -> Scan[None]:
        if has_thoughts:
            yield from scan_thoughts(self._tape, is_thinking=is_thinking)
        yield from self._scan_words(self._tape)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool; ``arguments`` is JSON text, unfinished if the answer broke off in it."""

    name: str
    arguments: str


def parse_whole(parser: AnswerParser, text: str) -> tuple[str, str, list[ToolCall]]:
    """The words, the thoughts and the calls of a whole answer, read by a fresh ``parser``."""
    return join_pieces((parser.push(text), parser.finish()))


def join_pieces(pieces: Collection[AnswerPiece]) -> tuple[str, str, list[ToolCall]]:
    """The words, the thoughts and the calls that came in ``pieces``."""
    names: list[str] = []
    arguments: list[str] = []
    for call in (call for piece in pieces for call in piece.calls):
        if call.name is not None:
            names.append(call.name)
            arguments.append("")
        arguments[call.index] += call.arguments
    return (
        "".join(piece.text for piece in pieces),
        "".join(piece.reasoning for piece in pieces),
        list(map(ToolCall, names, arguments)),
    )
