"""Sampling parameters as the fields of OpenAI's API and the extras that SGLang and vLLM know."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sglite.call_options import Sampling, to_sampling_params
from sglite.request import SamplingParams

RENAMED = {"max_new_tokens": "max_tokens", "min_new_tokens": "min_tokens", "sampling_seed": "seed"}

# Every server has these; their defaults differ, so a SamplingParams object states them.
ALWAYS_STATED = frozenset({"temperature", "top_p", "max_new_tokens"})


def sampling_fields(chosen: Sampling) -> dict[str, Any]:
    """The fields of a body for ``chosen``. Raises RequestError for what no server would take.

    None asks for the server's defaults. A mapping states what is in it. Of an object, what differs
    from the defaults is stated, and what every server has: others may not know the rest.
    """
    if chosen is None:
        return {}
    params = to_sampling_params(chosen, None)
    values = {field.name: getattr(params, field.name) for field in dataclasses.fields(params)}
    if isinstance(chosen, Mapping):
        stated = {name for name in values if chosen.get(name) is not None}
    else:
        defaults = SamplingParams()
        stated = {name for name in values if values[name] != getattr(defaults, name)}
        stated |= ALWAYS_STATED
    return {
        RENAMED.get(name, name): _json(value)
        for name, value in values.items()
        if name in stated and value is not None
    }


def _json(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, dict):
        return {str(key): each for key, each in value.items()}
    return value
