"""How a document reads: the chat template's text, in pieces that are learnt or only read.

The pieces joined are what `chat_template.jinja` renders (a test holds them together); they are made
here because the trainer must know which of them the model writes itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.examples import Message, Tool
from training.tokenizer import END_OF_TEXT, TURN_END, TURN_START

CHAT_TEMPLATE = (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8").rstrip()
Document = dict[str, Any]
"""A line of the corpus. A text: `text`, `completion`, perhaps `spelled`. A conversation: `messages`
(an assistant's may carry `spelled`), `tools`, and the `thought` before the last answer, or None."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document; words in `spelled` are learnt letter by letter."""

    text: str
    is_learnt: bool = False
    spelled: tuple[str, ...] = ()


def document_pieces(document: Document) -> list[Piece]:
    """The whole document; joined, it is what the engine's prompt and answer will read like."""
    if "text" in document:
        completion = Piece(
            document["completion"] + END_OF_TEXT, True, tuple(document.get("spelled", ()))
        )
        return [Piece(document["text"]), completion]
    messages = document["messages"]
    pieces = [Piece(system_text(messages, document.get("tools") or []))]
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            is_last = index == len(messages) - 1
            pieces += _answer(message, document.get("thought") if is_last else None)
        elif message["role"] == "tool":
            pieces.append(Piece(_tool_response(messages, index)))
        elif message["role"] == "user":
            pieces.append(Piece(f"{TURN_START}user\n{message['content']}{TURN_END}\n"))
    return [piece for piece in pieces if piece.text]


def prompt_text(document: Document) -> str:
    """Everything before the document's last answer: what the engine is asked."""
    if "text" in document:
        return str(document["text"])
    without_answer = document | {"messages": document["messages"][:-1]}
    prompt = "".join(piece.text for piece in document_pieces(without_answer))
    thinking = "" if document.get("thought") is None else "<think>\n"
    return f"{prompt}{TURN_START}assistant\n{thinking}"


def answer_text(document: Document) -> str:
    """The last answer as it is generated, without its end token."""
    if "text" in document:
        return str(document["completion"])
    return _generated(document["messages"][-1], document.get("thought"))


def system_text(messages: list[Message], tools: list[Tool]) -> str:
    """The system turn: the prompt, the tools, both, or nothing."""
    parts = [messages[0]["content"]] if messages and messages[0]["role"] == "system" else []
    if tools:
        lines = [json.dumps(tool.get("function", tool), ensure_ascii=False) for tool in tools]
        parts.append("\n".join(["You can call tools:\n<tools>", *lines, "</tools>"]))
    return f"{TURN_START}system\n" + "\n\n".join(parts) + f"{TURN_END}\n" if parts else ""


def call_text(call: dict[str, Any]) -> str:
    """A tool call as the assistant writes it."""
    called = call.get("function", call)
    arguments = json.dumps(called["arguments"], ensure_ascii=False)
    name = json.dumps(called["name"])
    return f'<tool_call>\n{{"name": {name}, "arguments": {arguments}}}\n</tool_call>'


def _answer(message: Message, thought: str | None) -> list[Piece]:
    asked = f"{TURN_START}assistant\n" + ("" if thought is None else "<think>\n")
    answer = _generated(message, thought) + TURN_END
    return [Piece(asked), Piece(answer, True, tuple(message.get("spelled", ()))), Piece("\n")]


def _generated(message: Message, thought: str | None) -> str:
    parts = [message["content"]] if message["content"] else []
    parts += [call_text(call) for call in message.get("tool_calls", [])]
    answer = "\n".join(parts)
    return answer if thought is None else f"{thought}\n</think>\n\n{answer}"


def _tool_response(messages: list[Message], index: int) -> str:
    is_first = index == 0 or messages[index - 1]["role"] != "tool"
    is_last = index == len(messages) - 1 or messages[index + 1]["role"] != "tool"
    start = f"{TURN_START}user" if is_first else ""
    end = f"{TURN_END}\n" if is_last else ""
    return f"{start}\n<tool_response>\n{messages[index]['content']}\n</tool_response>{end}"
