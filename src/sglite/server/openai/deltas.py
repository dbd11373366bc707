"""One answer's text as the deltas of a chat message: words, thoughts, calls of tools."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from sglite.parsing.pieces import AnswerParser, AnswerPiece, ToolCallPiece
from sglite.server.openai.reasoning import ReasoningOptions

JsonObject = dict[str, Any]


def call_id() -> str:
    """A new id for a call."""
    return "call_" + secrets.token_hex(12)


def reasoning_fields(reasoning: str | None) -> JsonObject:
    """Thoughts under SGLang's name and under vLLM's."""
    return {"reasoning_content": reasoning, "reasoning": reasoning}


class MessageDeltas:
    """Takes the text of one answer, gives the deltas that are certain by now, in order.

    A call begins with its id and name and goes on with pieces of its arguments. Thoughts that are
    not to be streamed are held until they end.
    """

    def __init__(self, parser: AnswerParser, options: ReasoningOptions) -> None:
        self._parser = parser
        self._options = options
        self._held: list[str] = []
        self.num_calls = 0

    def push(self, text: str) -> list[JsonObject]:
        """The deltas of the next text."""
        return list(self._deltas(self._parser.push(text)))

    def finish(self) -> list[JsonObject]:
        """The deltas of the rest, once the answer has ended."""
        return [*self._deltas(self._parser.finish()), *self._release()]

    def _deltas(self, piece: AnswerPiece) -> Iterator[JsonObject]:
        if piece.reasoning and self._options.is_shown:
            self._held.append(piece.reasoning)
        if self._options.is_streamed or piece.text or piece.calls:
            yield from self._release()
        if piece.text:
            yield {"content": piece.text}
        for call in _joined(piece.calls):
            yield from self._call_deltas(call)

    def _release(self) -> Iterator[JsonObject]:
        """The thoughts that are held."""
        held, self._held = self._held, []
        if held:
            yield reasoning_fields("".join(held))

    def _call_deltas(self, call: ToolCallPiece) -> Iterator[JsonObject]:
        if call.name is not None:
            self.num_calls += 1
            function = {"name": call.name, "arguments": ""}
            begun = {"index": call.index, "id": call_id(), "type": "function", "function": function}
            yield {"tool_calls": [begun]}
        if call.arguments:
            more = {"index": call.index, "function": {"arguments": call.arguments}}
            yield {"tool_calls": [more]}


def _joined(pieces: Sequence[ToolCallPiece]) -> list[ToolCallPiece]:
    """Pieces of the same call that follow each other as one."""
    joined: list[ToolCallPiece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last is not None and last.index == piece.index and piece.name is None:
            joined[-1] = ToolCallPiece(last.index, last.name, last.arguments + piece.arguments)
        else:
            joined.append(piece)
    return joined
