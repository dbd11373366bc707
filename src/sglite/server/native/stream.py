"""The events of a ``/generate`` stream, cumulative (SGLang's default) or incremental.

A cumulative event holds everything so far. It is kept as JSON that only ever grows, so that an
event costs a copy of bytes and not another encoding.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from sglite.generation import Generation, GenerationChunk, OpenGeneration
from sglite.request import LogprobParams, TokenLogprobs
from sglite.wire import TokenTexts, meta_info

JsonObject = dict[str, Any]

encode_json = msgspec.json.Encoder().encode


class GrowingJson:
    """A JSON list or string that grows at its end; ``is_incremental`` forgets what was shown."""

    def __init__(self, brackets: bytes, *, is_incremental: bool) -> None:
        self._open, self._close = brackets[:1], brackets[1:]
        self._is_list = self._open == b"["
        self._is_incremental = is_incremental
        self._inner = bytearray()

    def extend(self, value: str | list[Any]) -> None:
        """Append the characters of a string, or the items of a list."""
        if value:
            if self._is_list and self._inner:
                self._inner += b","
            self._inner += encode_json(value)[1:-1]

    def take(self) -> msgspec.Raw:
        """The JSON to show now."""
        shown = msgspec.Raw(b"".join((self._open, self._inner, self._close)))
        if self._is_incremental:
            self._inner.clear()
        return shown


class LogprobJson:
    """The lists of log-probabilities of one side, ``input`` or ``output``, of one answer."""

    def __init__(
        self, side: str, params: LogprobParams, texts: TokenTexts, *, is_incremental: bool
    ) -> None:
        self._texts = texts
        self._tokens = GrowingJson(b"[]", is_incremental=is_incremental)
        self._top = self._chosen = None
        self._lists = {f"{side}_token_logprobs": self._tokens}
        if params.top_num:
            self._top = GrowingJson(b"[]", is_incremental=is_incremental)
            self._lists[f"{side}_top_logprobs"] = self._top
        if params.token_ids:
            self._chosen = GrowingJson(b"[]", is_incremental=is_incremental)
            self._lists[f"{side}_token_ids_logprobs"] = self._chosen

    def extend(self, logprobs: list[TokenLogprobs]) -> None:
        """Take the next positions."""
        texts = self._texts
        self._tokens.extend([texts.triple(each.token_id, each.logprob) for each in logprobs])
        if self._top is not None:
            self._top.extend([texts.triples(each.top) for each in logprobs])
        if self._chosen is not None:
            self._chosen.extend([texts.triples(each.chosen) for each in logprobs])

    def take(self) -> JsonObject:
        """The fields of ``meta_info`` to show now."""
        return {name: growing.take() for name, growing in self._lists.items()}


class StreamedAnswer:
    """One answer of a stream: takes its chunks, gives the object of the next event.

    ``name`` is the id that the client sees. The log-probabilities of the prompt do not change once
    they are there: an incremental stream shows them in its first event alone.
    """

    def __init__(
        self,
        opened: OpenGeneration,
        name: str,
        texts: TokenTexts,
        *,
        is_incremental: bool,
        with_prompt_ids: bool,
    ) -> None:
        request = opened.request
        self._opened = opened
        self._name = name
        self._text = GrowingJson(b'""', is_incremental=is_incremental)
        self._token_ids = GrowingJson(b"[]", is_incremental=is_incremental)
        self._num_tokens = 0
        self._finished: Generation | None = None
        self._prompt_ids = list(request.prompt_token_ids) if with_prompt_ids else None
        self._logprobs: list[LogprobJson] = []
        self._num_prompt_logprobs = 0
        if request.logprobs is not None:
            self._logprobs = [
                LogprobJson(side, request.logprobs, texts, is_incremental=is_incremental)
                for side in ("input", "output")
            ]

    def absorb(self, chunk: GenerationChunk) -> None:
        """Take the answer's next chunk."""
        self._text.extend(chunk.text)
        self._token_ids.extend(chunk.token_ids)
        self._num_tokens += len(chunk.token_ids)
        self._finished = chunk.finished
        if self._logprobs:
            prompt_logprobs = self._opened.prompt_logprobs
            self._logprobs[0].extend(prompt_logprobs[self._num_prompt_logprobs :])
            self._num_prompt_logprobs = len(prompt_logprobs)
            self._logprobs[1].extend(chunk.logprobs or [])

    def take_event(self) -> JsonObject:
        """What to show of the answer now."""
        meta = self._open_meta() if self._finished is None else finished_meta(self._finished)
        meta["id"] = self._name
        for logprobs in self._logprobs:
            meta |= logprobs.take()
        if self._logprobs:
            meta["output_token_logprobs_length"] = self._num_tokens
        event = {
            "text": self._text.take(),
            "output_ids": self._token_ids.take(),
            "meta_info": meta,
        }
        if self._prompt_ids is not None:
            event["prompt_token_ids"] = self._prompt_ids
        return event

    def _open_meta(self) -> JsonObject:
        return {
            "id": self._name,
            "finish_reason": None,
            "prompt_tokens": len(self._opened.request.prompt_token_ids),
            "completion_tokens": self._num_tokens,
            "cached_tokens": self._opened.num_cached_tokens,
            "reasoning_tokens": self._opened.thoughts.count,
            "weight_version": "default",
            "num_retractions": 0,
            "dp_rank": None,
        }


def finished_meta(generation: Generation) -> JsonObject:
    """``meta_info`` of a finished answer with its timings, in seconds."""
    now = time.time()
    return {
        **meta_info(generation),
        "cached_tokens_details": {"device": generation.num_cached_tokens, "host": 0},
        "queue_time": generation.queue_s,
        "first_token_latency": generation.ttft_s,
        "decode_throughput": generation.decode_tokens_per_s,
        "request_received_ts": now - generation.e2e_s,
        "response_sent_to_client_ts": now,
    }
