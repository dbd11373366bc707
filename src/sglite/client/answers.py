"""The events of an OpenAI stream as chunks and generations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sglite.errors import RemoteError
from sglite.generation import Generation, GenerationChunk
from sglite.request import FinishReason

REASONS = {
    "length": FinishReason.LENGTH,
    "abort": FinishReason.ABORT,
    "content_filter": FinishReason.ABORT,
    "error": FinishReason.ERROR,
}
"""Everything else that a server calls the end, such as ``tool_calls``, is a STOP."""


@dataclass(slots=True)
class OpenAnswer:
    """What has come of one choice. ``num_pieces`` stands in where no tokens are counted."""

    text: list[str] = field(default_factory=list)
    num_pieces: int = 0
    first_s: float | None = None
    finish_reason: str | None = None
    matched: int | str | None = None


class AnswerReader:
    """Reads the events of one call with ``num_choices`` answers.

    ``first_index`` is the place of the first of them among the answers of the caller. Tokens are
    unknown: a server sends text. Their numbers are those of the server's ``usage``.
    """

    def __init__(
        self, num_choices: int, first_index: int = 0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._answers = [OpenAnswer() for _ in range(num_choices)]
        self._first_index = first_index
        self._clock = clock
        self._started_s = clock()
        self._request_id = ""
        self._usage: Mapping[str, Any] = {}

    def read(self, event: Any) -> list[GenerationChunk]:
        """The chunks in one event. Raises RemoteError where it is none of OpenAI's."""
        if not isinstance(event, dict):
            raise RemoteError("the server sent an event that is no JSON object")
        self._request_id = str(event.get("id") or self._request_id)
        self._usage = event.get("usage") or self._usage
        return [self._chunk(choice) for choice in event.get("choices") or ()]

    def finish(self) -> list[GenerationChunk]:
        """The last chunks, with the whole answers, once the stream has ended."""
        now_s = self._clock()
        if any(answer.finish_reason is None for answer in self._answers):
            raise RemoteError("the server ended the stream before the answer")
        return [
            GenerationChunk(
                request_id=self._request_id,
                index=self._first_index + number,
                text="",
                token_ids=[],
                finished=self._generation(number, answer, now_s),
            )
            for number, answer in enumerate(self._answers)
        ]

    def _chunk(self, choice: Mapping[str, Any]) -> GenerationChunk:
        number = choice.get("index") or 0
        if not 0 <= number < len(self._answers):
            raise RemoteError(f"the server sent choice {number} of {len(self._answers)}")
        answer = self._answers[number]
        delta = choice.get("delta") or {}
        text = choice.get("text") or delta.get("content") or ""
        reasoning = delta.get("reasoning_content") or delta.get("reasoning") or ""
        if text or reasoning:
            answer.num_pieces += 1
            answer.first_s = answer.first_s or self._clock()
        answer.text.append(text)
        if choice.get("finish_reason"):
            answer.finish_reason = choice["finish_reason"]
            answer.matched = choice.get("matched_stop", choice.get("stop_reason"))
        return GenerationChunk(
            request_id=self._request_id,
            index=self._first_index + number,
            text=text,
            token_ids=[],
            reasoning=reasoning,
        )

    def _generation(self, number: int, answer: OpenAnswer, now_s: float) -> Generation:
        """``usage`` counts all choices together: with several, pieces are counted instead."""
        usage, details = self._usage, self._usage.get("prompt_tokens_details") or {}
        is_single = len(self._answers) == 1
        num_output = usage.get("completion_tokens") if is_single else None
        return Generation(
            request_id=self._request_id,
            index=self._first_index + number,
            text="".join(answer.text),
            token_ids=[],
            prompt_token_ids=[],
            finish_reason=REASONS.get(answer.finish_reason or "", FinishReason.STOP),
            matched=answer.matched,
            message=None,
            num_prompt_tokens=usage.get("prompt_tokens") or 0,
            num_cached_tokens=details.get("cached_tokens") or 0,
            num_output_tokens=answer.num_pieces if num_output is None else num_output,
            num_retractions=0,
            max_new_tokens=0,
            logprobs=None,
            prompt_logprobs=None,
            queue_s=None,
            ttft_s=None if answer.first_s is None else answer.first_s - self._started_s,
            e2e_s=now_s - self._started_s,
        )
