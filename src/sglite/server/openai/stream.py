"""The events of OpenAI's streams.

What is the same in every event of a call is encoded once; a token costs the encoding of its text
and one join. All events of a batch of chunks are one write.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol

import msgspec

from sglite.generation import Generation, GenerationChunk
from sglite.observability.logging import log_event
from sglite.request import FinishReason
from sglite.server.answer_stream import AnswerStream
from sglite.server.http.error_table import HttpError
from sglite.server.http.sse import DONE
from sglite.server.openai.options import CallOptions
from sglite.server.openai.usage import UsageMeter

JsonObject = dict[str, Any]

encode_json = msgspec.json.Encoder().encode

logger = logging.getLogger(__name__)


class EventWriter:
    """Writes the events of one call.

    ``text_frame`` is what stands around the text in a choice, such as ``(b'"text":', b"")``. The
    first event alone has ``ignored_fields``. Where the call wants usage at the end, all other
    events have ``"usage": null``; where it wants it continuously, each has the counts so far.
    """

    def __init__(
        self,
        options: CallOptions,
        object_name: str,
        meter: UsageMeter,
        *,
        text_frame: tuple[bytes, bytes],
    ) -> None:
        self._header = b"data: " + encode_json(options.header(object_name))[:-1]
        self.meter = meter
        self._options = options
        self._before_text, after_text = text_frame
        self._heads: dict[int, bytes] = {}
        self._plain_end = after_text + b',"logprobs":null,"finish_reason":null'
        self._after_text = after_text
        self._constant_tail = b',"usage":null}\n\n' if options.wants_null_usage else b"}\n\n"
        self._extras = b""
        if options.ignored_fields:
            self._extras = b',"ignored_fields":' + encode_json(list(options.ignored_fields))

    def text(self, index: int, text: str, logprobs: JsonObject | None = None) -> bytes:
        """Some more text of one answer."""
        end = self._plain_end
        if logprobs is not None:
            values = encode_json(logprobs)
            end = b"".join((self._after_text, b',"logprobs":', values, b',"finish_reason":null'))
        head = self._head(index)
        return b"".join((head, self._before_text, encode_json(text), end, b"}]", self._tail()))

    def choice(self, index: int, fields: JsonObject) -> bytes:
        """An event with one choice of these fields."""
        return b"".join((self._head(index), encode_json(fields)[1:-1], b"}]", self._tail()))

    def last(self) -> bytes:
        """What ends the stream: the usage where it was asked for, and ``[DONE]``."""
        fields: JsonObject = {}
        if self._options.include_usage:
            fields["usage"] = self.meter.to_openai()
            if self._options.cache_details:
                fields["sglext"] = self.meter.cache_details()
        if not fields:
            return DONE
        event = (self._header, b',"choices":[],', encode_json(fields)[1:], b"\n\n", DONE)
        return b"".join(event)

    def _head(self, index: int) -> bytes:
        head = self._heads.get(index)
        if head is None:
            head = self._header + b',"choices":[{"index":%d,' % index
            self._heads[index] = head
        return head

    def _tail(self) -> bytes:
        extras, self._extras = self._extras, b""
        if self._options.continuous_usage:
            usage = encode_json(self.meter.to_openai())
            return b"".join((extras, b',"usage":', usage, b"}\n\n"))
        return extras + self._constant_tail if extras else self._constant_tail


class CallEvents(Protocol):
    """The events of one call, in the form of its protocol."""

    writer: EventWriter

    def of(self, chunk: GenerationChunk) -> Iterable[bytes]:
        """The events of one chunk, in order. Raises HttpError where its request failed."""
        ...


async def event_batches(stream: AnswerStream, events: CallEvents) -> AsyncIterator[bytes]:
    """One item per batch of chunks, then the end. Raises what the stream raises, and HttpError."""
    meter = events.writer.meter
    async for chunks in stream:
        batch: list[bytes] = []
        for chunk in chunks:
            meter.add(len(chunk.token_ids))
            batch += events.of(chunk)
        if batch:
            yield b"".join(batch)
    yield events.writer.last()


def finish_fields(generation: Generation, eos_token_ids: frozenset[int]) -> JsonObject:
    """Why an answer ended, in SGLang's words and in vLLM's.

    ``stop_reason`` is ``matched_stop``, except that it is null for the model's own end.
    ``jumped_tokens`` of the answer were not decoded one by one, ``ignored_schema_keywords`` not
    enforced, if there are any. Raises HttpError (500) where the request failed.
    """
    if generation.finish_reason is FinishReason.ERROR:
        message = generation.message or "the request failed"
        log_event(logger, logging.ERROR, "generation_failed", cause=message)
        raise HttpError(message, status=500, code="generation_failed")
    matched = generation.matched
    fields: JsonObject = {
        "finish_reason": generation.finish_reason.value,
        "matched_stop": matched,
        "stop_reason": None if matched in eos_token_ids else matched,
    }
    if generation.num_jumped_tokens:
        fields["jumped_tokens"] = generation.num_jumped_tokens
    if generation.ignored_schema_keywords:
        fields["ignored_schema_keywords"] = list(generation.ignored_schema_keywords)
    return fields
