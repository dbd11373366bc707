"""``/v1/chat/completions``: a conversation in, its next message out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sglite.errors import RequestError
from sglite.generation import Generation, GenerationChunk, OpenGeneration
from sglite.request import LogprobParams, SamplingParams, TokenLogprobs
from sglite.server.chat_encoding import encode_chat
from sglite.server.front import Front
from sglite.server.http.routes import ApiRoute
from sglite.server.openai.call import answer_call, check_num_answers, json_answer, read_body
from sglite.server.openai.fields import CHAT_KNOWN, CHAT_SCHEMA, CHAT_UNSUPPORTED
from sglite.server.openai.logprobs import chat_logprobs
from sglite.server.openai.options import (
    CallOptions,
    flag,
    num_logprobs,
    openai_names,
    read_options,
)
from sglite.server.openai.stream import EventWriter, finish_fields
from sglite.server.openai.usage import UsageMeter
from sglite.server.prompt_encoding import off_loop
from sglite.tokenizer import Tokenizer
from sglite.validation.fields import shown

OBJECT = "chat.completion"
CHUNK_OBJECT = "chat.completion.chunk"
DEFAULTED = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
"""What the model's generation_config may say where the call does not."""

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """A checked call. ``num_top`` is how many alternatives are shown, None for no logprobs.

    ``messages``, ``tools`` and ``template_kwargs`` are as they came: who renders them checks them.
    """

    options: CallOptions
    messages: Any
    tools: Any
    template_kwargs: Any
    add_generation_prompt: bool
    continue_final_message: bool
    num_top: int | None


class ChatRoute:
    """The handler."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._defaults = chat_defaults(front)

    async def create(self, request: Request) -> Response:
        """Answer one call."""
        body, ignored = await read_body(request, CHAT_KNOWN, CHAT_UNSUPPORTED)
        call = read_call(self._front, body, ignored, self._defaults)
        token_ids = await encode_chat(
            self._front,
            _with_known_roles(self._front.tokenizer, call.messages),
            tools=call.tools,
            add_generation_prompt=call.add_generation_prompt,
            continue_final_message=call.continue_final_message,
            template_kwargs=call.template_kwargs,
        )
        opened = self._open(call, token_ids)
        options = call.options
        meter = UsageMeter(opened, samples_per_prompt=options.sampling.n)
        choices = _Choices(self._front, call)
        return await answer_call(
            self._front,
            request,
            options,
            opened,
            events=lambda: _Events(options, meter, choices),
            whole=lambda done: _whole(options, meter, choices, done),
        )

    def _open(self, call: ChatCall, token_ids: Sequence[int]) -> list[OpenGeneration]:
        options = call.options
        logprobs = None if call.num_top is None else LogprobParams(top_num=call.num_top)
        with openai_names(options, prompt_field="messages"):
            return self._front.open_prompt(
                token_ids, options.sampling, logprobs, traits=options.traits
            )


def _with_known_roles(tokenizer: Tokenizer | None, messages: Any) -> Any:
    """``developer`` is OpenAI's newer word for ``system``, which some templates do not know."""
    if tokenizer is None or not isinstance(messages, list):
        return messages
    if any("developer" in source for source in tokenizer.chat_template_sources.values()):
        return messages
    return [
        {**message, "role": "system"}
        if isinstance(message, dict) and message.get("role") == "developer"
        else message
        for message in messages
    ]


class _Choices:
    """Writes the parts of choices that streams and whole answers share."""

    def __init__(self, front: Front, call: ChatCall) -> None:
        self._tokenizer = front.tokenizer
        self._eos_token_ids = front.limits.eos_token_ids
        self._has_logprobs = call.num_top is not None

    def logprobs(self, entries: Sequence[TokenLogprobs] | None) -> JsonObject | None:
        """The ``logprobs`` object; None where they were not asked for."""
        if not self._has_logprobs or self._tokenizer is None:
            return None
        return chat_logprobs(self._tokenizer, entries or [])

    def end(self, generation: Generation) -> JsonObject:
        """Why it ended. Raises HttpError where it failed."""
        return finish_fields(generation, self._eos_token_ids)

    def whole(self, generation: Generation) -> JsonObject:
        """The choice of a finished answer."""
        message = {
            "role": "assistant",
            "content": generation.text,
            "refusal": None,
            "reasoning_content": None,
        }
        return {
            "index": generation.index,
            "message": message,
            "logprobs": self.logprobs(generation.logprobs),
            **self.end(generation),
        }


class _Events:
    """The events of a stream: the role, the text, then why it ended, for each answer."""

    def __init__(self, options: CallOptions, meter: UsageMeter, choices: _Choices) -> None:
        self._choices = choices
        self._begun: set[int] = set()
        self.writer = EventWriter(
            options, CHUNK_OBJECT, meter, text_frame=(b'"delta":{"content":', b"}")
        )

    def of(self, chunk: GenerationChunk) -> Iterator[bytes]:
        """The events of one chunk."""
        writer, index = self.writer, chunk.index
        end = None if chunk.finished is None else self._choices.end(chunk.finished)
        if index not in self._begun:
            self._begun.add(index)
            delta = {"role": "assistant", "content": ""}
            yield writer.choice(index, {"delta": delta, "logprobs": None, "finish_reason": None})
        logprobs = self._choices.logprobs(chunk.logprobs) if chunk.token_ids else None
        if chunk.text or logprobs is not None:
            yield writer.text(index, chunk.text, logprobs)
        if end is not None:
            yield writer.choice(index, {"delta": {}, "logprobs": None, **end})


async def _whole(
    options: CallOptions, meter: UsageMeter, choices: _Choices, done: Sequence[Generation]
) -> Response:
    shown_choices = await off_loop(
        lambda: [choices.whole(each) for each in done],
        size=sum(len(each.logprobs or ()) for each in done),
    )
    return json_answer(options, OBJECT, shown_choices, meter, done)


def chat_defaults(front: Front) -> SamplingParams:
    """What chats are sampled with where the call says nothing: the model's own values."""
    values = {name: getattr(front.generation_defaults, name) for name in DEFAULTED}
    given = {name: value for name, value in values.items() if value is not None}
    return SamplingParams(max_new_tokens=None, **given)


def read_call(
    front: Front,
    body: Mapping[str, Any],
    ignored_fields: Sequence[str],
    defaults: SamplingParams,
) -> ChatCall:
    """Check everything but the conversation. Raises RequestError naming the field."""
    options = read_options(
        front,
        body,
        ignored_fields,
        id_prefix="chatcmpl-",
        defaults=defaults,
        limit_fields=("max_completion_tokens", "max_tokens"),
    )
    check_num_answers(front, options.sampling.n)
    _check_tool_choice(body.get("tool_choice"))
    flag(body, "parallel_tool_calls")
    continues = flag(body, "continue_final_message")
    if continues and body.get("add_generation_prompt") is True:
        raise RequestError(
            "continue_final_message goes on with the last message; it excludes "
            "add_generation_prompt: true",
            param="add_generation_prompt",
        )
    return ChatCall(
        options=options,
        messages=body.get("messages"),
        tools=None if body.get("tool_choice") == "none" else body.get("tools"),
        template_kwargs=body.get("chat_template_kwargs"),
        add_generation_prompt=flag(body, "add_generation_prompt", default=True),
        continue_final_message=continues,
        num_top=_num_top(body),
    )


def _num_top(body: Mapping[str, Any]) -> int | None:
    """Alternatives per token; None where no log-probabilities are asked for."""
    has_logprobs = flag(body, "logprobs")
    asked = body.get("top_logprobs")
    num_top = 0 if asked is None else num_logprobs("top_logprobs", asked)
    if num_top and not has_logprobs:
        raise RequestError("top_logprobs needs logprobs: true", param="top_logprobs")
    return num_top if has_logprobs else None


def _check_tool_choice(choice: object) -> None:
    """Tools are shown to the template; nothing forces a call or reads one from the answer yet."""
    if choice not in (None, "", "auto", "none"):
        raise RequestError(
            f"tool_choice other than auto and none is not supported yet, got {shown(choice)}",
            param="tool_choice",
        )


def routes(front: Front) -> list[ApiRoute]:
    """``/v1/chat/completions``."""
    return [
        ApiRoute(
            path="/v1/chat/completions",
            methods=("POST",),
            handler=ChatRoute(front).create,
            access="user",
            summary="Answer a conversation",
            body=CHAT_SCHEMA,
        )
    ]
