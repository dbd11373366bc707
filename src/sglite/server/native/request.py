"""A body of ``/generate`` as a list of items, one for each prompt."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sglite.call_options import read_deadline_s, read_logprobs, read_namespace
from sglite.errors import RequestError
from sglite.request import LogprobParams, SamplingParams
from sglite.server.native.fields import PER_ITEM
from sglite.validation import (
    RequestLimits,
    RequestTraits,
    sampling_params_from_dict,
    validate_logprob_params,
)
from sglite.validation.fields import INT32_MAX, boolean, integer, shown, string
from sglite.validation.sampling_params import CHECKS

MAX_PROMPTS = 256
"""Most prompts of one call."""
MAX_CLIENT_ID_CHARACTERS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeItem:
    """One prompt, text or token ids, and what is asked for it.

    ``client_id`` is what its answers are called in ``meta_info.id``; None: the engine's own id.
    ``must_think``: the answer begins inside of thoughts, also where the prompt does not say so.
    """

    prompt: str | Sequence[int]
    sampling: SamplingParams
    logprobs: LogprobParams | None
    traits: RequestTraits
    client_id: str | None
    must_think: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeCall:
    """A checked call. ``prompt_field`` is the name of the field that held the prompts.

    ``client_id`` is the call's ``rid`` where that is one string. ``is_list``: the answer is a list.
    """

    items: list[NativeItem]
    prompt_field: str
    client_id: str | None
    is_list: bool
    stream: bool
    with_text: bool
    with_prompt_ids: bool

    @property
    def num_answers(self) -> int:
        """Answers of all prompts together."""
        return sum(item.sampling.n for item in self.items)


def read_call(
    body: Mapping[str, Any],
    limits: RequestLimits,
    *,
    max_answers: int,
    stream_interval: int = 1,
    session: str | None = None,
) -> NativeCall:
    """Check everything but the prompts' tokens. Raises RequestError naming the field.

    ``max_answers`` is the most that the engine could ever take at once. ``stream_interval`` is for
    items that bring none. Timeouts start to run here. Of two ``max_thinking_tokens`` the one among
    the sampling parameters counts.
    """
    field, prompts, is_batch = _prompts(body)
    columns = {name: _column(name, body.get(name), len(prompts), is_batch) for name in PER_ITEM}
    client_ids = _client_ids(body.get("rid"), len(prompts), is_batch)
    defaults = SamplingParams(stream_interval=stream_interval)
    stream = _flag(body, "stream")
    items = [
        _item(
            prompt,
            {name: columns[name][i] for name in PER_ITEM},
            client_id=client_ids[i],
            limits=limits,
            defaults=defaults,
            is_streamed=stream,
            session=session,
        )
        for i, prompt in enumerate(prompts)
    ]
    rid = body.get("rid")
    call = NativeCall(
        items=items,
        prompt_field=field,
        client_id=rid if isinstance(rid, str) else None,
        is_list=is_batch or items[0].sampling.n > 1,
        stream=stream,
        with_text=_flag(body, "return_text_in_logprobs"),
        with_prompt_ids=_flag(body, "return_prompt_token_ids"),
    )
    if call.num_answers > max_answers:
        raise RequestError(
            f"the call asks for {call.num_answers:,} answers (prompts x n); this server queues at "
            f"most {max_answers:,} requests. Send fewer at once.",
            param="n",
        )
    return call


def _prompts(body: Mapping[str, Any]) -> tuple[str, list[Any], bool]:
    """The field that holds the prompts, the prompts, and whether they came as a batch."""
    text, input_ids = body.get("text"), body.get("input_ids")
    if (text is None) == (input_ids is None):
        which = "none" if text is None else "both"
        raise RequestError(f"give one of text and input_ids, got {which}", param="text")
    if text is not None:
        return _text_prompts(text)
    if not isinstance(input_ids, list):
        raise RequestError(
            f"input_ids must be a list of token ids, or a list of such lists, got "
            f"{shown(input_ids)}",
            param="input_ids",
        )
    if input_ids and isinstance(input_ids[0], list):
        _check_batch("input_ids", input_ids, list, "a list of token ids")
        return "input_ids", input_ids, True
    return "input_ids", [input_ids], False


def _text_prompts(text: Any) -> tuple[str, list[Any], bool]:
    if isinstance(text, str):
        return "text", [text], False
    if not isinstance(text, list):
        raise RequestError(
            f"text must be a string or a list of strings, got {shown(text)}", param="text"
        )
    _check_batch("text", text, str, "a string")
    return "text", text, True


def _check_batch(field: str, prompts: list[Any], kind: type, words: str) -> None:
    if not 1 <= len(prompts) <= MAX_PROMPTS:
        raise RequestError(
            f"{field} must have from 1 to {MAX_PROMPTS} prompts, got {len(prompts):,}", param=field
        )
    for i, prompt in enumerate(prompts):
        if not isinstance(prompt, kind):
            raise RequestError(f"{field}[{i}] must be {words}, got {shown(prompt)}", param=field)


def _column(name: str, value: Any, num_items: int, is_batch: bool) -> Sequence[Any]:
    """The value of a field for each item."""
    if not (is_batch and isinstance(value, list)):
        return [value] * num_items
    if name == "token_ids_logprob" and not any(isinstance(entry, list) for entry in value):
        return [value] * num_items  # ids for all prompts
    if len(value) != num_items:
        raise RequestError(
            f"{name} has {len(value):,} entries for {num_items:,} prompts; give one value, or one "
            "for each prompt",
            param=name,
        )
    return value


def _client_ids(rid: Any, num_items: int, is_batch: bool) -> Sequence[str | None]:
    """What each item is called; a string is the prefix of a batch's names, as SGLang has it."""
    if rid is None:
        return [None] * num_items
    if is_batch and isinstance(rid, list):
        names = [_client_id(name) for name in _column("rid", rid, num_items, is_batch)]
        if len(set(names)) < len(names):
            raise RequestError("rid names two prompts alike", param="rid")
        return names
    name = _client_id(rid)
    return [f"{name}_{i}" for i in range(num_items)] if is_batch else [name]


def _client_id(rid: Any) -> str:
    return string("rid", rid, max_length=MAX_CLIENT_ID_CHARACTERS)


def _item(
    prompt: Any,
    values: Mapping[str, Any],
    *,
    client_id: str | None,
    limits: RequestLimits,
    defaults: SamplingParams,
    is_streamed: bool,
    session: str | None,
) -> NativeItem:
    sampling = values["sampling_params"]
    budget = values["max_thinking_tokens"]
    if budget is not None:
        checked = CHECKS["max_thinking_tokens"]("max_thinking_tokens", budget)
        defaults = dataclasses.replace(defaults, max_thinking_tokens=checked)
    return NativeItem(
        prompt=prompt,
        sampling=sampling_params_from_dict({} if sampling is None else sampling, defaults=defaults),
        must_think=_flag(values, "require_reasoning"),
        logprobs=_logprobs(values, limits),
        traits=_traits(values, is_streamed=is_streamed, session=session),
        client_id=client_id,
    )


def _traits(values: Mapping[str, Any], *, is_streamed: bool, session: str | None) -> RequestTraits:
    priority = 0 if values["priority"] is None else values["priority"]
    return RequestTraits(
        namespace=read_namespace(values["cache_salt"], values["extra_key"]),
        priority=integer("priority", priority, ge=-INT32_MAX - 1, le=INT32_MAX),
        deadline_s=read_deadline_s("timeout", values["timeout"]),
        is_streamed=is_streamed,
        session=session,
    )


def _logprobs(values: Mapping[str, Any], limits: RequestLimits) -> LogprobParams | None:
    """What to return. ``return_logprob: false`` wins over details, which are checked all the same.

    How many tokens the prompt has is not known yet; ``logprob_start_len`` is checked against that
    when the request is made.
    """
    given = {name: value for name, value in values.items() if value is not None}
    params = read_logprobs(given)
    if params is not None:
        params = validate_logprob_params(
            params, num_prompt_tokens=INT32_MAX, vocab_size=limits.vocab_size
        )
    return None if given.get("return_logprob") is False else params


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    return False if value is None else boolean(name, value)
