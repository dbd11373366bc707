"""What a caller gets: generations, and the pieces in which they arrive.

A front collects the engine's output batches here, whether it streams or waits, offline or over
HTTP. Text exists from here on outwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sglite.parsing.thinking_tokens import ThoughtCounter
from sglite.request import FinishReason, OutputBatch, Request, RequestFinish, TokenLogprobs

if TYPE_CHECKING:
    from sglite.tokenizer import Tokenizer
    from sglite.tokenizer.text_assembler import TextAssembler


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A finished answer.

    ``index`` is the position among the answers of the call. ``token_ids`` hold the stop token that
    ``text`` does not show. ``matched`` is the token id or stop string that ended it. ``message``
    explains an abort or error. ``logprobs`` has one entry per output token; ``prompt_logprobs``
    one per prompt position from ``logprob_start_len`` on, the first without a value. Times are
    seconds from the arrival; None where it never came to that. ``num_jumped_tokens`` of the output
    were not decoded one by one, a grammar left no other. ``ignored_schema_keywords`` of the schema
    were not enforced. ``num_reasoning_tokens`` of the output were thoughts.
    """

    request_id: str
    index: int
    text: str
    token_ids: list[int]
    prompt_token_ids: list[int]
    finish_reason: FinishReason
    matched: int | str | None
    message: str | None
    num_prompt_tokens: int
    num_cached_tokens: int
    num_output_tokens: int
    num_retractions: int
    max_new_tokens: int
    logprobs: list[TokenLogprobs] | None
    prompt_logprobs: list[TokenLogprobs] | None
    queue_s: float | None
    ttft_s: float | None
    e2e_s: float
    num_jumped_tokens: int = 0
    ignored_schema_keywords: tuple[str, ...] = ()
    num_reasoning_tokens: int = 0

    @property
    def decode_tokens_per_s(self) -> float | None:
        """Output tokens per second after the first; None where there was no second one."""
        if self.ttft_s is None or self.num_output_tokens < 2 or self.e2e_s <= self.ttft_s:
            return None
        return (self.num_output_tokens - 1) / (self.e2e_s - self.ttft_s)

    def to_sglang(self, tokenizer: Tokenizer | None = None) -> dict[str, Any]:
        """The JSON object that SGLang's ``/generate`` answers with."""
        from sglite.wire import generation_to_sglang

        return generation_to_sglang(self, tokenizer)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationChunk:
    """The next piece of an answer. ``text`` and ``token_ids`` are new; ``finished`` ends it.

    ``reasoning`` is text that the model thought rather than said, where somebody separates the two.
    """

    request_id: str
    index: int
    text: str
    token_ids: list[int]
    logprobs: list[TokenLogprobs] | None = None
    finished: Generation | None = None
    reasoning: str = ""


@dataclass(slots=True)
class OpenGeneration:
    """One request on its way to a :class:`Generation`.

    ``num_cached_tokens`` is that of its last admission, 0 before.
    """

    request: Request
    index: int
    assembler: TextAssembler | None
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    prompt_logprobs: list[TokenLogprobs] = field(default_factory=list)
    num_cached_tokens: int = 0
    num_told: int = 0
    held_text: str = ""
    thoughts: ThoughtCounter = field(init=False)

    def __post_init__(self) -> None:
        self.thoughts = ThoughtCounter(self.request.thinking)
        params = self.request.logprobs
        if params is not None and params.start_len is not None:
            scored = self.request.prompt_token_ids[params.start_len : params.start_len + 1]
            self.prompt_logprobs = [TokenLogprobs(token_id, None) for token_id in scored]

    def push(self, token_ids: list[int]) -> None:
        """Take new output tokens."""
        self.token_ids += token_ids
        self.thoughts.push(token_ids)
        if self.assembler is not None:
            self.held_text += self.assembler.push(token_ids)

    def take_chunk(self) -> GenerationChunk | None:
        """What has come since the last chunk, at the request's ``stream_interval``; else None."""
        interval = self.request.sampling.stream_interval or 1
        is_first = self.num_told == 0 and self.token_ids
        if not is_first and len(self.token_ids) - self.num_told < interval:
            return None
        return self._chunk(None)

    def finish(self, finish: RequestFinish) -> GenerationChunk:
        """The last chunk, with the whole answer."""
        text = ""
        if self.assembler is not None:
            self.held_text += self.assembler.finish(finish.reason, finish.matched)
            text = self.assembler.text
        return self._chunk(self._generation(finish, text))

    def _chunk(self, finished: Generation | None) -> GenerationChunk:
        start, self.num_told = self.num_told, len(self.token_ids)
        text, self.held_text = self.held_text, ""
        has_logprobs = self.request.logprobs is not None
        return GenerationChunk(
            request_id=self.request.request_id,
            index=self.index,
            text=text,
            token_ids=self.token_ids[start:],
            logprobs=self.logprobs[start:] if has_logprobs else None,
            finished=finished,
        )

    def _generation(self, finish: RequestFinish, text: str) -> Generation:
        timings, params = finish.timings, self.request.logprobs
        wants_prompt = params is not None and params.start_len is not None
        arrival_s = timings.arrival_s
        return Generation(
            request_id=finish.request_id,
            index=self.index,
            text=text,
            token_ids=self.token_ids,
            prompt_token_ids=list(self.request.prompt_token_ids),
            finish_reason=finish.reason,
            matched=finish.matched,
            message=finish.message,
            num_prompt_tokens=finish.num_prompt_tokens,
            num_cached_tokens=finish.num_cached_tokens,
            num_output_tokens=finish.num_output_tokens,
            num_retractions=finish.num_retractions,
            max_new_tokens=finish.max_new_tokens,
            logprobs=self.logprobs if params is not None else None,
            prompt_logprobs=self.prompt_logprobs if wants_prompt else None,
            queue_s=_since(arrival_s, timings.admitted_s),
            ttft_s=_since(arrival_s, timings.first_token_s),
            e2e_s=(timings.finished_s or arrival_s) - arrival_s,
            num_jumped_tokens=finish.num_jumped_tokens,
            ignored_schema_keywords=finish.ignored_schema_keywords,
            num_reasoning_tokens=self.thoughts.count,
        )


class GenerationCollector:
    """Turns the output batches of one call's requests into chunks."""

    def __init__(self) -> None:
        self.open: dict[str, OpenGeneration] = {}

    def add(self, generation: OpenGeneration) -> None:
        """Expect output of this request."""
        self.open[generation.request.request_id] = generation

    def absorb(self, outputs: OutputBatch) -> list[GenerationChunk]:
        """The chunks that ``outputs`` completes, at most one per request."""
        for request_id, num_cached_tokens in outputs.started:
            self.open[request_id].num_cached_tokens = num_cached_tokens
        news: dict[str, list[int]] = {}
        for index, (request_id, token_id) in enumerate(outputs.tokens):
            news.setdefault(request_id, []).append(token_id)
            if index in outputs.logprobs:
                self.open[request_id].logprobs.append(outputs.logprobs[index])
        for request_id, scored in outputs.prompt_logprobs:
            self.open[request_id].prompt_logprobs += scored
        for request_id, token_ids in news.items():
            self.open[request_id].push(token_ids)
        chunks = []
        for finish in outputs.finished:
            news.pop(finish.request_id, None)
            chunks.append(self.open.pop(finish.request_id).finish(finish))
        told = [self.open[request_id].take_chunk() for request_id in news]
        return [chunk for chunk in told if chunk is not None] + chunks


def _since(start_s: float, moment_s: float | None) -> float | None:
    return None if moment_s is None else moment_s - start_s
