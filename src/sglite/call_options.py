"""What a caller may say beside the prompt, turned into the engine's nouns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sglite.errors import RequestError
from sglite.request import LogprobParams, SamplingParams
from sglite.validation import sampling_params_from_dict
from sglite.validation.requests import RequestTraits

Sampling = SamplingParams | Mapping[str, Any] | None
"""Sampling parameters as callers write them: the object, SGLang's names in a dict, or defaults."""

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
    if unknown:
        raise RequestError(
            f"unknown option {unknown[0]!r}; known are {', '.join(sorted(KNOWN_OPTIONS))}",
            param=unknown[0],
        )
    timeout_s, salt = options.get("timeout_s"), options.get("cache_salt")
    traits = RequestTraits(
        namespace="" if salt is None else f"salt {salt}",
        priority=options.get("priority") or 0,
        deadline_s=None if timeout_s is None else time.monotonic() + timeout_s,
        pin_prefix=bool(options.get("pin_prefix")),
    )
    return _read_logprobs(options), traits


def _read_logprobs(options: Mapping[str, Any]) -> LogprobParams | None:
    start_len = options.get("logprob_start_len")
    params = LogprobParams(
        start_len=None if start_len == -1 else start_len,
        top_num=options.get("top_logprobs_num") or 0,
        token_ids=tuple(options.get("token_ids_logprob") or ()),
    )
    is_wanted = options.get("return_logprob") or params != LogprobParams()
    return params if is_wanted else None
