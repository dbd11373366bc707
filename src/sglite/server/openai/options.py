"""What a body asks for beside its prompt, the same for completions and chats, checked."""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sglite.call_options import read_namespace
from sglite.errors import RequestError
from sglite.request import SamplingParams
from sglite.server.front import Front
from sglite.server.openai.answer_format import AnswerFormat, read_format
from sglite.server.openai.fields import LABELS, OPENAI_NAMES, SAMPLING_FIELDS
from sglite.server.openai.models import model_name
from sglite.validation.fields import INT32_MAX, boolean, integer, shown, string
from sglite.validation.grammars import GRAMMARS
from sglite.validation.requests import MAX_TOP_LOGPROBS, RequestTraits
from sglite.validation.sampling_params import CHECKS

MAX_ID_CHARACTERS = 256
MAX_LABEL_CHARACTERS = 4096
BUDGET_FIELDS = ("max_thinking_tokens", "thinking_token_budget")
"""SGLang's and vLLM's names of it; the first that is given counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """One call's options. ``limit_field`` is the field that held the limit of the output.

    ``answer_format`` is the grammar that ``sampling`` has, and the field that it came from.
    """

    response_id: str
    created: int
    model: str
    sampling: SamplingParams
    traits: RequestTraits
    stream: bool
    include_usage: bool
    continuous_usage: bool
    cache_details: bool
    limit_field: str
    answer_format: AnswerFormat | None
    ignored_fields: Sequence[str]

    @property
    def wants_null_usage(self) -> bool:
        """True where events other than the last say that the usage is still to come."""
        return self.include_usage and not self.continuous_usage

    def header(self, object_name: str) -> dict[str, Any]:
        """What every body and every event of the answer begins with."""
        return {
            "id": self.response_id,
            "object": object_name,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": None,
        }


def read_options(
    front: Front,
    body: Mapping[str, Any],
    ignored_fields: Sequence[str],
    *,
    id_prefix: str,
    defaults: SamplingParams,
    limit_fields: Sequence[str] = ("max_tokens",),
    session: str | None = None,
) -> CallOptions:
    """Check everything that completions and chats share.

    Raises RequestError naming the field as OpenAI does, ModelNotFoundError. Of ``limit_fields`` the
    first that is given counts.
    """
    _check_labels(body)
    stream = flag(body, "stream")
    include_usage, continuous_usage = _stream_options(body.get("stream_options"), stream=stream)
    limit_field, limit = _limit(body, limit_fields)
    answer_format = read_format(body)
    return CallOptions(
        response_id=_response_id(body, id_prefix),
        created=int(time.time()),
        model=model_name(front, body.get("model")),
        sampling=with_format(_sampling(front, body, defaults, limit_field, limit), answer_format),
        traits=RequestTraits(
            namespace=read_namespace(body.get("cache_salt"), body.get("extra_key")),
            priority=_priority(body.get("priority")),
            is_streamed=stream,
            session=session,
        ),
        stream=stream,
        include_usage=include_usage,
        continuous_usage=continuous_usage,
        cache_details=flag(body, "return_cached_tokens_details"),
        limit_field=limit_field,
        answer_format=answer_format,
        ignored_fields=ignored_fields,
    )


def with_format(sampling: SamplingParams, answer_format: AnswerFormat | None) -> SamplingParams:
    """The parameters with a grammar."""
    if answer_format is None:
        return sampling
    ignores = answer_format.ignores_keywords or sampling.allow_ignored_schema_keywords
    grammar = {answer_format.name: answer_format.value, "allow_ignored_schema_keywords": ignores}
    return dataclasses.replace(sampling, **grammar)


def flag(body: Mapping[str, Any], field: str, *, default: bool = False) -> bool:
    """A boolean field; null means the default."""
    value = body.get(field)
    return default if value is None else boolean(field, value)


def num_logprobs(field: str, value: object) -> int:
    """How many alternatives per token are asked for."""
    return integer(field, value, ge=0, le=MAX_TOP_LOGPROBS)


@contextmanager
def openai_names(options: CallOptions, *, prompt_field: str = "prompt") -> Iterator[None]:
    """Errors of the validator and the engine with the fields' names in OpenAI's bodies."""
    names = {**OPENAI_NAMES, "max_new_tokens": options.limit_field}
    if options.answer_format is not None:
        names[options.answer_format.name] = options.answer_format.field
    try:
        yield
    except RequestError as error:
        message = str(error)
        for name, openai_name in names.items():
            message = message.replace(name, openai_name)
        param = prompt_field if error.param in ("prompt", "text") else error.param
        raise RequestError(message, param=names.get(param or "", param)) from error


def _sampling(
    front: Front,
    body: Mapping[str, Any],
    defaults: SamplingParams,
    limit_field: str,
    limit: int | None,
) -> SamplingParams:
    clean = {
        name: CHECKS[name](field, body[field])
        for name, field in SAMPLING_FIELDS.items()
        if body.get(field) is not None and name not in GRAMMARS
    }
    _, budget = _limit(body, BUDGET_FIELDS)
    if budget is not None:
        clean["max_thinking_tokens"] = budget
    if flag(body, "include_stop_str_in_output"):
        clean["no_stop_trim"] = True
    if limit is not None:
        clean["max_new_tokens"] = limit
    clean.setdefault("stream_interval", front.config.stream_interval)
    sampling = dataclasses.replace(defaults, **clean)
    limit = sampling.max_new_tokens
    if limit is not None and sampling.min_new_tokens > limit:
        raise RequestError(
            f"min_tokens is {sampling.min_new_tokens:,}, more than {limit_field} ({limit:,})",
            param="min_tokens",
        )
    return sampling


def _limit(body: Mapping[str, Any], fields: Sequence[str]) -> tuple[str, int | None]:
    """The name and value of the output's limit; all that are given are checked."""
    given = {
        field: integer(field, body[field], ge=0, le=INT32_MAX)
        for field in fields
        if body.get(field) is not None
    }
    name = next(iter(given), fields[-1])
    return name, given.get(name)


def _stream_options(value: object, *, stream: bool) -> tuple[bool, bool]:
    """(include_usage, continuous_usage_stats)."""
    field = "stream_options"
    if value is None:
        return False, False
    if not isinstance(value, dict):
        raise RequestError(f"{field} must be an object, got {shown(value)}", param=field)
    names = ("include_usage", "continuous_usage_stats")
    flags = [flag({f"{field}.{name}": value.get(name)}, f"{field}.{name}") for name in names]
    if any(flags) and not stream:
        raise RequestError(f"{field} needs stream: true", param=field)
    return flags[0], flags[1]


def _response_id(body: Mapping[str, Any], prefix: str) -> str:
    """A random id, or the client's own, which is echoed and nothing else (R16)."""
    for field in ("rid", "request_id"):
        if body.get(field) is not None:
            return string(field, body[field], max_length=MAX_ID_CHARACTERS)
    return prefix + secrets.token_hex(16)


def _priority(value: object) -> int:
    return 0 if value is None else integer("priority", value, ge=-INT32_MAX - 1, le=INT32_MAX)


def _check_labels(body: Mapping[str, Any]) -> None:
    for field in LABELS:
        value = body.get(field)
        if value:
            string(field, value, max_length=MAX_LABEL_CHARACTERS)
        elif value is not None and not isinstance(value, str):
            raise RequestError(f"{field} must be a string, got {shown(value)}", param=field)
    metadata = body.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise RequestError(f"metadata must be an object, got {shown(metadata)}", param="metadata")
