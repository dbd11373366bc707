"""From a checked call to the requests of the engine and the answers that will be shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sglite.errors import RequestError
from sglite.generation import Generation, GenerationChunk, OpenGeneration
from sglite.request import Thinking
from sglite.server.native.request import NativeCall, NativeItem
from sglite.server.native.stream import JsonObject, StreamedAnswer
from sglite.wire import TokenTexts

if TYPE_CHECKING:
    from sglite.server.front import Front


@dataclass(slots=True)
class OpenCall:
    """A call whose requests are made. ``opened`` and ``answers`` have the same indices.

    ``names`` holds ``(client's id, engine's id)`` pairs by which the call can be aborted.
    ``ignored`` are fields of the body that mean nothing here.
    """

    call: NativeCall
    ignored: list[str]
    opened: list[OpenGeneration] = field(default_factory=list)
    answers: list[StreamedAnswer] = field(default_factory=list)
    names: list[tuple[str, str]] = field(default_factory=list)

    def take_events(self, chunks: Sequence[GenerationChunk]) -> list[JsonObject]:
        """The events for new chunks: one for each answer that has news."""
        touched: dict[int, None] = {}
        for chunk in chunks:
            self.answers[chunk.index].absorb(chunk)
            touched[chunk.index] = None
        return [self._event(index) for index in touched]

    def whole(self, done: Sequence[Generation]) -> list[JsonObject]:
        """All answers, complete; without ``index``."""
        for generation in done:
            self.answers[generation.index].absorb(_as_chunk(generation))
        return [self._object(index) for index in range(len(self.answers))]

    def _event(self, index: int) -> JsonObject:
        event = self._object(index)
        if self.call.is_list:
            event["index"] = index
        return event

    def _object(self, index: int) -> JsonObject:
        event = self.answers[index].take_event()
        if self.ignored:
            event["meta_info"]["ignored_fields"] = self.ignored
        return event


def open_call(
    front: Front, call: NativeCall, prompts: Sequence[Sequence[int]], ignored: list[str]
) -> OpenCall:
    """Make the requests of all prompts, given as token ids. Raises RequestError."""
    open_ = OpenCall(call, ignored)
    texts = TokenTexts(front.tokenizer if call.with_text else None)
    is_incremental = call.stream and front.config.incremental_streaming_output
    for item, token_ids in zip(call.items, prompts, strict=True):
        samples = _open_item(front, call, item, token_ids, len(open_.opened))
        open_.opened += samples
        for number, generation in enumerate(samples):
            engine_id = generation.request.request_id
            shown = _shown_id(item, number) or engine_id
            answer = StreamedAnswer(
                generation,
                shown,
                texts,
                is_incremental=is_incremental,
                with_prompt_ids=call.with_prompt_ids,
            )
            open_.answers.append(answer)
            own = {shown: None, item.client_id: None, call.client_id: None}
            open_.names += [(name, engine_id) for name in own if name not in (None, engine_id)]
    return open_


def _open_item(
    front: Front, call: NativeCall, item: NativeItem, token_ids: Sequence[int], first_index: int
) -> list[OpenGeneration]:
    traits = item.traits
    if item.must_think:
        traits = dataclasses.replace(traits, thinking=_open_thoughts(front))
    try:
        return front.open_prompt(
            token_ids,
            item.sampling,
            item.logprobs,
            traits=traits,
            first_index=first_index,
        )
    except RequestError as error:
        if error.param == "prompt":  # this API has other names for it
            raise RequestError(str(error), param=call.prompt_field) from error
        raise


def _open_thoughts(front: Front) -> Thinking:
    thinking = front.model_format.open_thinking()
    if thinking is None:
        raise RequestError(
            "require_reasoning needs a model whose thoughts begin and end with tokens of their "
            "own; leave it out, or start with --reasoning-parser",
            param="require_reasoning",
        )
    return thinking


def _shown_id(item: NativeItem, number: int) -> str | None:
    """What the client's id makes of an answer's; several samples of a prompt are numbered."""
    if item.client_id is None or item.sampling.n == 1:
        return item.client_id
    return f"{item.client_id}-{number}"


def _as_chunk(generation: Generation) -> GenerationChunk:
    """A whole answer as its only chunk."""
    return GenerationChunk(
        request_id=generation.request_id,
        index=generation.index,
        text=generation.text,
        token_ids=generation.token_ids,
        logprobs=generation.logprobs,
        finished=generation,
    )
