"""What a caller may say beside the prompt, turned into the engine's nouns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sglite.errors import RequestError
from sglite.generation import Generation
from sglite.request import LogprobParams, SamplingParams
from sglite.validation import sampling_params_from_dict
from sglite.validation.fields import boolean, integer, number, string
from sglite.validation.requests import MAX_TOP_LOGPROBS, RequestTraits

Sampling = SamplingParams | Mapping[str, Any] | None
"""Sampling parameters as callers write them: the object, SGLang's names in a dict, or defaults."""

MAX_SALT_CHARACTERS = 256

KNOWN_OPTIONS = frozenset(
    {
        "return_logprob",
        "logprob_start_len",
        "top_logprobs_num",
        "token_ids_logprob",
        "priority",
        "cache_salt",
        "timeout_s",
        "pin_prefix",
    }
)


def to_sampling_params(chosen: Sampling, defaults: SamplingParams | None) -> SamplingParams:
    """``chosen`` with what it leaves out from ``defaults``. Raises RequestError."""
    if chosen is None:
        return defaults or SamplingParams()
    if isinstance(chosen, SamplingParams):
        return chosen
    return sampling_params_from_dict(chosen, defaults=defaults)


def read_options(options: Mapping[str, Any]) -> tuple[LogprobParams | None, RequestTraits]:
    """The keyword options of ``LLM.generate``. Raises RequestError for an unknown one."""
    unknown = sorted(set(options) - KNOWN_OPTIONS)
    if unknown and unknown[0] in SamplingParams.__dataclass_fields__:
        example = f"{{{unknown[0]!r}: {options[unknown[0]]!r}}}"
        raise RequestError(
            f"{unknown[0]} is a sampling parameter: give it in sampling_params, such as {example}",
            param=unknown[0],
        )
    if unknown:
        raise RequestError(
            f"unknown option {unknown[0]!r}; known are {', '.join(sorted(KNOWN_OPTIONS))}",
            param=unknown[0],
        )
    given = {name: value for name, value in options.items() if value is not None}
    traits = RequestTraits(
        namespace=read_namespace(given.get("cache_salt")),
        priority=given.get("priority", 0),
        deadline_s=read_deadline_s("timeout_s", given.get("timeout_s")),
        pin_prefix=boolean("pin_prefix", given.get("pin_prefix", False)),
    )
    return read_logprobs(given), traits


def read_namespace(salt: object, extra_key: object = None) -> str:
    """The cache's namespace for ``cache_salt`` and ``extra_key``; '' for neither.

    Different pairs give different namespaces. Raises RequestError.
    """
    parts = []
    if extra_key is not None:
        key = string("extra_key", extra_key, max_length=MAX_SALT_CHARACTERS)
        parts.append(f"key {len(key)} {key}")  # its length shows where it ends
    if salt is not None:
        checked = string("cache_salt", salt, max_length=MAX_SALT_CHARACTERS)
        parts.append(f"salt {checked}")
    return " ".join(parts)


def read_deadline_s(field: str, timeout_s: object) -> float | None:
    """The moment on the engine's clock that is ``timeout_s`` from now. Raises RequestError."""
    return None if timeout_s is None else time.monotonic() + number(field, timeout_s, gt=0)


def read_logprobs(given: Mapping[str, Any]) -> LogprobParams | None:
    """What to return; lengths and ids are checked against the prompt and the model later.

    Asking for any detail asks for log-probabilities. Raises RequestError.
    """
    start_len = given.get("logprob_start_len")
    token_ids = given.get("token_ids_logprob", ())
    is_output_only = type(start_len) is int and start_len == -1
    params = LogprobParams(
        start_len=None if is_output_only else start_len,
        top_num=integer(
            "top_logprobs_num", given.get("top_logprobs_num", 0), ge=0, le=MAX_TOP_LOGPROBS
        ),
        token_ids=tuple(token_ids) if isinstance(token_ids, list) else token_ids,
    )
    is_wanted = boolean("return_logprob", given.get("return_logprob", False))
    return params if is_wanted or params != LogprobParams() else None


def is_single_prompt(prompts: Any) -> bool:
    """True for text or token ids, False for a list of those. Raises RequestError for the rest."""
    if not isinstance(prompts, str | list):
        raise RequestError(
            "prompts must be text, a list of token ids, or a list of either, got "
            f"{type(prompts).__name__}",
            param="prompt",
        )
    return isinstance(prompts, str) or (bool(prompts) and isinstance(prompts[0], int))


def arranged(done: list[Generation], *, is_single: bool) -> Generation | list[Generation]:
    """The answers of a call in their order; the answer itself where one prompt has just one."""
    done.sort(key=lambda generation: generation.index)
    return done[0] if is_single and len(done) == 1 else done
