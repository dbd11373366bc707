"""A chat's answers as choices: whole messages, or the events of a stream.

Text is read by a parser where the model may call tools, or where its thoughts are told from its
words. Log-probabilities are those of all tokens, also of tokens that calls and thoughts consist of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sglite.generation import Generation, GenerationChunk
from sglite.parsing.formats import ToolCall, parse_whole
from sglite.parsing.pieces import AnswerParser
from sglite.request import TokenLogprobs
from sglite.server.front import Front
from sglite.server.openai.deltas import MessageDeltas, call_id, reasoning_fields
from sglite.server.openai.logprobs import chat_logprobs
from sglite.server.openai.options import CallOptions
from sglite.server.openai.reasoning import ReasoningOptions
from sglite.server.openai.stream import EventWriter, finish_fields
from sglite.server.openai.usage import UsageMeter

CHUNK_OBJECT = "chat.completion.chunk"

JsonObject = dict[str, Any]
MakeParser = Callable[[], AnswerParser]


class ChatChoices:
    """Writes the parts of choices that streams and whole answers share.

    ``make_parser`` gives a parser for each answer; None: its text is its content.
    """

    def __init__(
        self,
        front: Front,
        *,
        has_logprobs: bool,
        make_parser: MakeParser | None,
        reasoning: ReasoningOptions,
    ) -> None:
        self._tokenizer = front.tokenizer
        self._eos_token_ids = front.limits.eos_token_ids
        self._has_logprobs = has_logprobs
        self._make_parser = make_parser
        self._reasoning = reasoning

    def logprobs(self, entries: Sequence[TokenLogprobs] | None) -> JsonObject | None:
        """The ``logprobs`` object; None where they were not asked for."""
        if not self._has_logprobs or self._tokenizer is None:
            return None
        return chat_logprobs(self._tokenizer, entries or [])

    def deltas(self) -> MessageDeltas | None:
        """What makes deltas of an answer's text; None where it needs no reading."""
        if self._make_parser is None:
            return None
        return MessageDeltas(self._make_parser(), self._reasoning)

    def end(self, generation: Generation, *, has_calls: bool) -> JsonObject:
        """Why it ended. Raises HttpError where it failed."""
        fields = finish_fields(generation, self._eos_token_ids)
        if has_calls and fields["finish_reason"] == "stop":
            fields["finish_reason"] = "tool_calls"
        return fields

    def whole(self, generation: Generation) -> JsonObject:
        """The choice of a finished answer."""
        message = self._message(generation.text)
        return {
            "index": generation.index,
            "message": message,
            "logprobs": self.logprobs(generation.logprobs),
            **self.end(generation, has_calls="tool_calls" in message),
        }

    def _message(self, text: str) -> JsonObject:
        """``content`` is null where there is nothing but calls."""
        reasoning, calls = "", list[ToolCall]()
        if self._make_parser is not None:
            text, reasoning, calls = parse_whole(self._make_parser(), text)
        shown = reasoning if reasoning and self._reasoning.is_shown else None
        message = {
            "role": "assistant",
            "content": None if calls and not text else text,
            "refusal": None,
            **reasoning_fields(shown),
        }
        if calls:
            message["tool_calls"] = [
                {
                    "index": index,
                    "id": call_id(),
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for index, call in enumerate(calls)
            ]
        return message


class ChatEvents:
    """The events of a stream: the role, the deltas, then why it ended, for each answer."""

    def __init__(self, options: CallOptions, meter: UsageMeter, choices: ChatChoices) -> None:
        self._choices = choices
        self._deltas: dict[int, MessageDeltas | None] = {}
        self.writer = EventWriter(
            options, CHUNK_OBJECT, meter, text_frame=(b'"delta":{"content":', b"}")
        )

    def of(self, chunk: GenerationChunk) -> Iterator[bytes]:
        """The events of one chunk. Its log-probabilities stand in the first that has a delta."""
        index = chunk.index
        if chunk.finished is not None:
            self._choices.end(chunk.finished, has_calls=False)  # raises before anything is told
        if index not in self._deltas:
            self._deltas[index] = self._choices.deltas()
            yield self._delta(index, {"role": "assistant", "content": ""}, None)
        deltas = self._deltas[index]
        logprobs = self._choices.logprobs(chunk.logprobs) if chunk.token_ids else None
        for delta in _read(deltas, chunk, has_logprobs=logprobs is not None):
            yield self._delta(index, delta, logprobs)
            logprobs = None
        if chunk.finished is not None:
            has_calls = deltas is not None and deltas.num_calls > 0
            end = self._choices.end(chunk.finished, has_calls=has_calls)
            yield self.writer.choice(index, {"delta": {}, "logprobs": None, **end})

    def _delta(self, index: int, delta: JsonObject, logprobs: JsonObject | None) -> bytes:
        if len(delta) == 1 and "content" in delta:
            return self.writer.text(index, delta["content"], logprobs)
        fields = {"delta": delta, "logprobs": logprobs, "finish_reason": None}
        return self.writer.choice(index, fields)


def _read(
    deltas: MessageDeltas | None, chunk: GenerationChunk, *, has_logprobs: bool
) -> list[JsonObject]:
    """The deltas of a chunk; one without a text where there is nothing but log-probabilities."""
    if deltas is None:
        read = [{"content": chunk.text}] if chunk.text else []
    else:
        read = deltas.push(chunk.text) if chunk.text else []
        if chunk.finished is not None:
            read += deltas.finish()
    return read or ([{"content": ""}] if has_logprobs else [])
