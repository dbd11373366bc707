"""What a parser of answers gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ToolCallPiece:
    """A piece of the call number ``index``, counted from 0 within the answer.

    The first piece of a call has its ``name``; ``arguments`` is the next part of their JSON text.
    """

    index: int
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class AnswerPiece:
    """The next part of an answer: words, thoughts, pieces of calls; each may be empty."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolCallPiece, ...] = ()


class AnswerParser(Protocol):
    """Reads one answer. However its text is cut into pushes, the joined results are the same.

    Neither method raises, whatever the text.
    """

    def push(self, text: str) -> AnswerPiece:
        """Take the next text and return what is certain by now."""

    def finish(self) -> AnswerPiece:
        """The answer ended, perhaps in the middle of something: return the rest."""
