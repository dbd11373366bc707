"""``/v1/completions``: texts or token ids in, their continuations out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sglite.errors import RequestError
from sglite.generation import Generation, GenerationChunk, OpenGeneration
from sglite.request import LogprobParams, SamplingParams
from sglite.server.front import Front
from sglite.server.http.routes import ApiRoute
from sglite.server.http.sessions import read_session
from sglite.server.openai.call import (
    answer_call,
    check_num_answers,
    json_answer,
    read_body,
)
from sglite.server.openai.fields import (
    COMPLETION_KNOWN,
    COMPLETION_SCHEMA,
    COMPLETION_UNSUPPORTED,
)
from sglite.server.openai.logprobs import CompletionLogprobs, join_columns
from sglite.server.openai.options import (
    CallOptions,
    flag,
    num_logprobs,
    openai_names,
    read_options,
)
from sglite.server.openai.stream import EventWriter, finish_fields
from sglite.server.openai.usage import UsageMeter
from sglite.server.prompt_encoding import encode_prompts, off_loop
from sglite.validation.fields import INT32_MAX, integer, shown

OBJECT = "text_completion"
DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 256
"""Most prompts of one call."""

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionCall:
    """A checked call. ``num_top`` is how many alternatives are shown, None for no logprobs."""

    options: CallOptions
    prompts: Sequence[str | Sequence[int]]
    echo: bool
    num_top: int | None
    add_special_tokens: bool

    @property
    def logprobs(self) -> LogprobParams | None:
        """What the engine is asked for."""
        if self.num_top is None:
            return None
        return LogprobParams(start_len=0 if self.echo else None, top_num=self.num_top)


class CompletionRoute:
    """The handler."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def create(self, request: Request) -> Response:
        """Answer one call."""
        body, ignored = await read_body(request, COMPLETION_KNOWN, COMPLETION_UNSUPPORTED)
        session = read_session(request, body)
        call = read_call(self._front, body, ignored, session=session)
        prompts, opened = await self._open(call)
        num_samples = call.options.sampling.n
        meter = UsageMeter(opened, samples_per_prompt=num_samples)
        choices = [
            CompletionChoice(self._front, call, each, prompts[each.index // num_samples])
            for each in opened
        ]
        return await answer_call(
            self._front,
            request,
            call.options,
            opened,
            events=lambda: _Events(call.options, meter, choices),
            whole=lambda done: _whole(call.options, meter, choices, done),
        )

    async def _open(self, call: CompletionCall) -> tuple[list[str], list[OpenGeneration]]:
        """The prompts' texts (empty unless they are echoed) and the requests."""
        front, options = self._front, call.options
        token_ids = await encode_prompts(
            front.tokenizer,
            call.prompts,
            max_tokens=front.limits.context_length,
            field="prompt",
            add_special_tokens=call.add_special_tokens,
        )
        opened: list[OpenGeneration] = []
        with openai_names(options):
            for ids in token_ids:
                opened += front.open_prompt(
                    ids,
                    options.sampling,
                    call.logprobs,
                    traits=options.traits,
                    first_index=len(opened),
                )
        if not call.echo:
            return [""] * len(token_ids), opened
        size = sum(map(len, token_ids))
        return await off_loop(lambda: self._texts(call, token_ids), size=size), opened

    def _texts(self, call: CompletionCall, token_ids: Sequence[Sequence[int]]) -> list[str]:
        """The prompts as they are echoed: texts as they came, token ids as text."""
        skips = call.options.sampling.skip_special_tokens
        tokenizer = self._front.tokenizer
        texts = []
        for prompt, ids in zip(call.prompts, token_ids, strict=True):
            if isinstance(prompt, str):
                texts.append(prompt)
            elif tokenizer is None:
                texts.append("")
            else:
                texts.append(tokenizer.decode(ids, skip_special_tokens=skips))
        return texts


class CompletionChoice:
    """One answer of a call on its way into JSON. ``echoed`` is the prompt's text or empty."""

    def __init__(
        self, front: Front, call: CompletionCall, opened: OpenGeneration, echoed: str
    ) -> None:
        self._eos_token_ids = front.limits.eos_token_ids
        self._opened = opened
        self._echoed = echoed
        self._has_begun = False
        self._logprobs: CompletionLogprobs | None = None
        if call.num_top is not None:
            self._logprobs = CompletionLogprobs(
                front.tokenizer,
                num_top=call.num_top,
                prompt_text=echoed,
                skip_special_tokens=call.options.sampling.skip_special_tokens,
            )

    def take(self, chunk: GenerationChunk) -> tuple[str, JsonObject | None]:
        """The next text and its columns."""
        finished = chunk.finished
        text_length = None if finished is None else len(self._echoed) + len(finished.text)
        columns = self._columns(chunk.logprobs or [], text_length)
        text = chunk.text if self._has_begun else self._echoed + chunk.text
        self._has_begun = True
        return text, columns

    def whole(self, generation: Generation) -> JsonObject:
        """The choice of a finished answer."""
        text = self._echoed + generation.text
        columns = self._columns(generation.logprobs or [], len(text))
        return {"index": generation.index, "text": text, "logprobs": columns} | self.end(generation)

    def end(self, generation: Generation) -> JsonObject:
        """Why it ended. Raises HttpError where it failed."""
        return finish_fields(generation, self._eos_token_ids)

    def _columns(self, entries: list[Any], text_length: int | None) -> JsonObject | None:
        if self._logprobs is None:
            return None
        columns = self._logprobs.output(entries, text_length=text_length)
        prompt = [] if self._has_begun else self._opened.prompt_logprobs
        return join_columns(self._logprobs.prompt(prompt), columns) if prompt else columns


class _Events:
    """The events of a stream."""

    def __init__(
        self, options: CallOptions, meter: UsageMeter, choices: Sequence[CompletionChoice]
    ) -> None:
        self._choices = choices
        self.writer = EventWriter(options, OBJECT, meter, text_frame=(b'"text":', b""))

    def of(self, chunk: GenerationChunk) -> Iterator[bytes]:
        """The events of one chunk: none where it shows nothing."""
        choice = self._choices[chunk.index]
        text, columns = choice.take(chunk)
        if chunk.finished is not None:
            fields = {"text": text, "logprobs": columns} | choice.end(chunk.finished)
            yield self.writer.choice(chunk.index, fields)
        elif text or columns is not None:
            yield self.writer.text(chunk.index, text, columns)


async def _whole(
    options: CallOptions,
    meter: UsageMeter,
    choices: Sequence[CompletionChoice],
    done: Sequence[Generation],
) -> Response:
    size = sum(len(each.logprobs or ()) + len(each.prompt_logprobs or ()) for each in done)
    shown_choices = await off_loop(
        lambda: [choices[each.index].whole(each) for each in done], size=size
    )
    return json_answer(options, OBJECT, shown_choices, meter, done)


def read_call(
    front: Front,
    body: Mapping[str, Any],
    ignored_fields: Sequence[str],
    *,
    session: str | None = None,
) -> CompletionCall:
    """Check everything but the prompts' tokens. Raises RequestError naming the field."""
    options = read_options(
        front,
        body,
        ignored_fields,
        id_prefix="cmpl-",
        defaults=SamplingParams(max_new_tokens=DEFAULT_MAX_TOKENS),
        session=session,
    )
    _check_best_of(body.get("best_of"), options.sampling.n)
    prompts = read_prompts(body.get("prompt"))
    check_num_answers(front, len(prompts) * options.sampling.n)
    num_top = body.get("logprobs")
    return CompletionCall(
        options=options,
        prompts=prompts,
        echo=flag(body, "echo"),
        num_top=None if num_top is None else num_logprobs("logprobs", num_top),
        add_special_tokens=flag(body, "add_special_tokens", default=True),
    )


def read_prompts(prompt: object) -> Sequence[str | Sequence[int]]:
    """The prompts in each of their four forms. Raises RequestError."""
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, list) or not prompt:
        raise RequestError(
            "prompt must be a string, a list of strings, a list of token ids or a list of such "
            f"lists, and not empty; got {shown(prompt)}",
            param="prompt",
        )
    kind = type(prompt[0])
    if kind not in (str, list):
        return [prompt]
    if len(prompt) > MAX_PROMPTS:
        raise RequestError(
            f"prompt must have at most {MAX_PROMPTS} prompts, got {len(prompt):,}", param="prompt"
        )
    for i, entry in enumerate(prompt):
        if not isinstance(entry, kind):
            raise RequestError(
                f"prompt[{i}] is {shown(entry)}, and the prompts before it are of another kind",
                param="prompt",
            )
    return prompt


def _check_best_of(best_of: object, num_samples: int) -> None:
    if best_of is None:
        return
    if integer("best_of", best_of, ge=1, le=INT32_MAX) not in (1, num_samples):
        raise RequestError(
            f"best_of other than 1 or n ({num_samples:,}) is not supported, got {shown(best_of)}",
            param="best_of",
        )


def routes(front: Front) -> list[ApiRoute]:
    """``/v1/completions``."""
    return [
        ApiRoute(
            path="/v1/completions",
            methods=("POST",),
            handler=CompletionRoute(front).create,
            access="user",
            summary="Complete texts or token ids",
            body=COMPLETION_SCHEMA,
        )
    ]
