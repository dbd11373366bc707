"""What was found in an answer so far and not yet handed on."""

from __future__ import annotations

from sglite.parsing.pieces import AnswerPiece, ToolCallPiece


class Findings:
    """Collects words, thoughts and calls; ``hand_over`` gives what has come since the last one."""

    def __init__(self) -> None:
        self.num_calls = 0
        self._text: list[str] = []
        self._reasoning: list[str] = []
        # One entry per call that got something: its index, its name if that is new, its arguments.
        self._calls: list[tuple[int, str | None, list[str]]] = []

    def say(self, text: str) -> None:
        """Add words of the answer."""
        if text:
            self._text.append(text)

    def think(self, text: str) -> None:
        """Add thoughts."""
        if text:
            self._reasoning.append(text)

    def begin_call(self, name: str) -> None:
        """A call of ``name`` begins; what it is called with follows."""
        self._calls.append((self.num_calls, name, []))
        self.num_calls += 1

    def add_arguments(self, json_text: str) -> None:
        """Add the next part of the last call's arguments."""
        index = self.num_calls - 1
        if not json_text:
            return
        if not self._calls or self._calls[-1][0] != index:
            self._calls.append((index, None, []))
        self._calls[-1][2].append(json_text)

    def hand_over(self) -> AnswerPiece:
        """All that was added since the last time, in one piece."""
        calls = tuple(
            ToolCallPiece(index, name, "".join(parts)) for index, name, parts in self._calls
        )
        piece = AnswerPiece("".join(self._text), "".join(self._reasoning), calls)
        self._text.clear()
        self._reasoning.clear()
        self._calls.clear()
        return piece
