"""``/v1/chat/completions``: a conversation in, its next message out.

body ──read_call()──▶ ChatCall ──encode_chat()──▶ token ids ──▶ requests
     ──answers──▶ ChatChoices: whole messages, or ChatEvents
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sglite.errors import RequestError
from sglite.generation import Generation, OpenGeneration
from sglite.parsing.formats import make_answer_parser
from sglite.request import LogprobParams, SamplingParams, Thinking
from sglite.server.chat_encoding import encode_chat
from sglite.server.front import Front
from sglite.server.http.routes import ApiRoute
from sglite.server.http.sessions import read_session
from sglite.server.openai.answer_format import AnswerFormat
from sglite.server.openai.call import answer_call, check_num_answers, json_answer, read_body
from sglite.server.openai.chat_choices import ChatChoices, ChatEvents, MakeParser
from sglite.server.openai.fields import CHAT_KNOWN, CHAT_SCHEMA, CHAT_UNSUPPORTED
from sglite.server.openai.options import (
    CallOptions,
    flag,
    num_logprobs,
    openai_names,
    read_options,
    with_format,
)
from sglite.server.openai.reasoning import ReasoningOptions, read_reasoning
from sglite.server.openai.tools import ToolUse, read_tools
from sglite.server.openai.usage import UsageMeter
from sglite.server.prompt_encoding import off_loop
from sglite.tokenizer import Tokenizer

OBJECT = "chat.completion"
DEFAULTED = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
"""What the model's generation_config may say where the call does not."""

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """A checked call. ``num_top`` is how many alternatives are shown, None for no logprobs.

    ``messages`` are as they came: who renders them checks them.
    """

    options: CallOptions
    messages: Any
    tool_use: ToolUse
    reasoning: ReasoningOptions
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
        session = read_session(request, body)
        call = read_call(self._front, body, ignored, self._defaults, session=session)
        token_ids = await encode_chat(
            self._front,
            _with_known_roles(self._front.tokenizer, call.messages),
            tools=call.tool_use.shown,
            add_generation_prompt=call.add_generation_prompt,
            continue_final_message=call.continue_final_message,
            template_kwargs=call.reasoning.template_kwargs,
        )
        thinking = self._front.model_format.chat_thinking(token_ids, call.reasoning.template_kwargs)
        opened = self._open(call, token_ids, thinking)
        options = call.options
        meter = UsageMeter(opened, samples_per_prompt=options.sampling.n)
        choices = ChatChoices(
            self._front,
            has_logprobs=call.num_top is not None,
            make_parser=_parser_maker(self._front, call, thinking),
            reasoning=call.reasoning,
        )
        return await answer_call(
            self._front,
            request,
            options,
            opened,
            events=lambda: ChatEvents(options, meter, choices),
            whole=lambda done: _whole(options, meter, choices, done),
        )

    def _open(
        self, call: ChatCall, token_ids: Sequence[int], thinking: Thinking | None
    ) -> list[OpenGeneration]:
        options = call.options
        logprobs = None if call.num_top is None else LogprobParams(top_num=call.num_top)
        traits = dataclasses.replace(options.traits, thinking=thinking)
        with openai_names(options, prompt_field="messages"):
            return self._front.open_prompt(token_ids, options.sampling, logprobs, traits=traits)


def _parser_maker(front: Front, call: ChatCall, thinking: Thinking | None) -> MakeParser | None:
    """What reads the answers of a call; None where their text is their content."""
    formats = front.model_format
    tool_format = formats.tool_format if call.tool_use.names else None
    reasoning_format = formats.reasoning_format if call.reasoning.is_separate else None
    if tool_format is None and reasoning_format is None:
        return None
    return functools.partial(
        make_answer_parser,
        tool_format,
        reasoning_format,
        tool_names=call.tool_use.names,
        is_thinking=thinking is not None and thinking.is_open,
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


async def _whole(
    options: CallOptions, meter: UsageMeter, choices: ChatChoices, done: Sequence[Generation]
) -> Response:
    shown_choices = await off_loop(
        lambda: [choices.whole(each) for each in done],
        size=sum(len(each.text) + len(each.logprobs or ()) for each in done),
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
    *,
    session: str | None = None,
) -> ChatCall:
    """Check everything but the conversation. Raises RequestError naming the field."""
    options = read_options(
        front,
        body,
        ignored_fields,
        id_prefix="chatcmpl-",
        defaults=defaults,
        limit_fields=("max_completion_tokens", "max_tokens"),
        session=session,
    )
    check_num_answers(front, options.sampling.n)
    tool_use = read_tools(body, front.model_format.tool_format)
    reasoning = read_reasoning(body, _template(front.tokenizer))
    continues = flag(body, "continue_final_message")
    if continues and body.get("add_generation_prompt") is True:
        raise RequestError(
            "continue_final_message goes on with the last message; it excludes "
            "add_generation_prompt: true",
            param="add_generation_prompt",
        )
    return ChatCall(
        options=_settled(front, options, tool_use, reasoning),
        messages=body.get("messages"),
        tool_use=tool_use,
        reasoning=reasoning,
        add_generation_prompt=flag(body, "add_generation_prompt", default=True),
        continue_final_message=continues,
        num_top=_num_top(body),
    )


def _settled(
    front: Front, options: CallOptions, tool_use: ToolUse, reasoning: ReasoningOptions
) -> CallOptions:
    """The options with what tools and thoughts ask of the answer. Raises RequestError."""
    formats, sampling = front.model_format, options.sampling
    answer_format = options.answer_format
    if tool_use.names and formats.tool_format is not None and answer_format is not None:
        raise RequestError(
            f"{answer_format.field} says what the whole answer must look like, which leaves no "
            "room for calls of tools; leave one of both out, or send tool_choice none",
            param=answer_format.field,
        )
    if tool_use.tag is not None:
        answer_format = AnswerFormat(tool_use.field, "structural_tag", tool_use.tag)
        sampling = with_format(sampling, answer_format)
    reads = bool(tool_use.names) or (reasoning.is_separate and formats.reasoning_format is not None)
    if reads and formats.has_hidden_markers:
        sampling = dataclasses.replace(sampling, skip_special_tokens=False)
    if sampling.max_thinking_tokens is None and reasoning.max_tokens is not None:
        sampling = dataclasses.replace(sampling, max_thinking_tokens=reasoning.max_tokens)
    return dataclasses.replace(
        options,
        sampling=sampling,
        answer_format=answer_format,
        ignored_fields=[*options.ignored_fields, *reasoning.ignored],
    )


def _template(tokenizer: Tokenizer | None) -> str:
    return "" if tokenizer is None else "\n".join(tokenizer.chat_template_sources.values())


def _num_top(body: Mapping[str, Any]) -> int | None:
    """Alternatives per token; None where no log-probabilities are asked for."""
    has_logprobs = flag(body, "logprobs")
    asked = body.get("top_logprobs")
    num_top = 0 if asked is None else num_logprobs("top_logprobs", asked)
    if num_top and not has_logprobs:
        raise RequestError("top_logprobs needs logprobs: true", param="top_logprobs")
    return num_top if has_logprobs else None


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
