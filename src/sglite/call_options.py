"""What a caller may say beside the prompt, turned into the engine's nouns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sglite.errors import RequestError
from sglite.request import LogprobParams, SamplingParams
from sglite.validation import sampling_params_from_dict
from sglite.validation.fields import boolean, number, string
from sglite.validation.requests import RequestTraits

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
    namespace, deadline_s = "", None
    if "cache_salt" in given:
        salt = string("cache_salt", given["cache_salt"], max_length=MAX_SALT_CHARACTERS)
        namespace = f"salt {salt}"
    if "timeout_s" in given:
        deadline_s = time.monotonic() + number("timeout_s", given["timeout_s"], gt=0)
    traits = RequestTraits(
        namespace=namespace,
        priority=given.get("priority", 0),
        deadline_s=deadline_s,
        pin_prefix=boolean("pin_prefix", given.get("pin_prefix", False)),
    )
    return _read_logprobs(given), traits


def _read_logprobs(given: Mapping[str, Any]) -> LogprobParams | None:
    """What to return; lengths and ids are checked against the prompt and the model later."""
    start_len = given.get("logprob_start_len")
    token_ids = given.get("token_ids_logprob", ())
    params = LogprobParams(
        start_len=None if start_len == -1 else start_len,
        top_num=given.get("top_logprobs_num", 0),
        token_ids=tuple(token_ids) if isinstance(token_ids, list) else token_ids,
    )
    is_wanted = boolean("return_logprob", given.get("return_logprob", False))
    return params if is_wanted or params != LogprobParams() else None
