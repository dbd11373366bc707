"""Pieces of an answer as deltas, in order and once."""

from __future__ import annotations

from typing import Any

from sglite.parsing.pieces import AnswerPiece, ToolCallPiece
from sglite.server.openai.deltas import MessageDeltas, call_id
from sglite.server.openai.reasoning import ReasoningOptions


class ScriptedParser:
    """Gives these pieces, one for each push, the last at the end."""

    def __init__(self, *pieces: AnswerPiece) -> None:
        self._pieces = list(pieces)

    def push(self, text: str) -> AnswerPiece:
        return self._pieces.pop(0)

    def finish(self) -> AnswerPiece:
        [last] = self._pieces
        return last


def deltas(*pieces: AnswerPiece, **options: Any) -> tuple[list[list[Any]], int]:
    """The deltas of each push and of the end, and how many calls there were."""
    message = MessageDeltas(ScriptedParser(*pieces), ReasoningOptions(**options))
    told = [message.push("x") for _ in pieces[1:]]
    return [*told, message.finish()], message.num_calls


def thought(text: str) -> dict[str, str]:
    return {"reasoning_content": text, "reasoning": text}


def test_thoughts_come_before_words():
    told, num_calls = deltas(
        AnswerPiece(reasoning="hm"), AnswerPiece(reasoning="!", text="Yes"), AnswerPiece()
    )
    assert told == [[thought("hm")], [thought("!"), {"content": "Yes"}], []]
    assert num_calls == 0


def test_a_call_begins_with_its_name_and_goes_on_with_arguments():
    [first, second, last], num_calls = deltas(
        AnswerPiece("I look.", calls=(ToolCallPiece(0, "f", '{"a"'), ToolCallPiece(0, None, ":"))),
        AnswerPiece(calls=(ToolCallPiece(0, None, " 1}"), ToolCallPiece(1, "g"))),
        AnswerPiece(calls=(ToolCallPiece(1, None, "{}"),)),
    )
    assert num_calls == 2
    assert first[0] == {"content": "I look."}
    [begun] = first[1]["tool_calls"]
    assert begun.pop("id").startswith("call_")
    assert begun == {
        "index": 0,
        "type": "function",
        "function": {"name": "f", "arguments": ""},
    }
    assert first[2:] == [{"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]}]
    assert second[0] == {"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}]}
    assert second[1]["tool_calls"][0]["function"] == {"name": "g", "arguments": ""}
    assert last == [{"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]}]


def test_thoughts_that_are_not_streamed_come_in_one_piece():
    pieces = (AnswerPiece(reasoning="a"), AnswerPiece(reasoning="b"), AnswerPiece(text="c"))
    told, _ = deltas(*pieces, AnswerPiece(), is_streamed=False)
    assert told == [[], [], [thought("ab"), {"content": "c"}], []]
    told, _ = deltas(*pieces[:2], AnswerPiece(reasoning="!"), is_streamed=False)
    assert told == [[], [], [thought("ab!")]]


def test_thoughts_may_be_left_out():
    told, _ = deltas(AnswerPiece(reasoning="a"), AnswerPiece(text="b"), is_shown=False)
    assert told == [[], [{"content": "b"}]]


def test_ids_of_calls_differ():
    assert len({call_id() for _ in range(100)}) == 100
