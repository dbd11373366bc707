"""Sampling parameters as SGLang names them: from a dict, or from an object made directly.

One table says how each parameter is checked. ``None`` (JSON's null) means the default.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from sglite.errors import RequestError
from sglite.request import SamplingParams
from sglite.validation.fields import (
    FLOAT32_MAX,
    INT32_MAX,
    INT64_MAX,
    INT64_MIN,
    boolean,
    integer,
    integers,
    number,
    shown,
    strings,
)
from sglite.validation.grammars import (
    GRAMMARS,
    check_one_grammar,
    choices,
    grammar_text,
    schema_text,
    tag_text,
)

MAX_SAMPLES = 128
MAX_STOPS = 16
MAX_STOP_CHARACTERS = 256
MAX_STOP_TOKEN_IDS = 1024
MAX_LOGIT_BIAS = 1024

_TOKEN_ID_TEXT = re.compile(r"[0-9]{1,10}")

Check = Callable[[str, object], Any]


def _integer(ge: int, le: int = INT32_MAX) -> Check:
    return lambda field, value: integer(field, value, ge=ge, le=le)


def _number(**limits: float) -> Check:
    return lambda field, value: number(field, value, **limits)


def _top_k(field: str, value: object) -> int:
    if type(value) is int and value != -1 and not 1 <= value <= INT32_MAX:
        raise RequestError(
            f"{field} must be -1 (all tokens) or from 1 to {INT32_MAX:,}, got {shown(value)}",
            param=field,
        )
    return integer(field, value, ge=-1, le=INT32_MAX)


def _stop(field: str, value: object) -> tuple[str, ...]:
    return strings(field, value, max_items=MAX_STOPS, max_length=MAX_STOP_CHARACTERS)


def _stop_regex(field: str, value: object) -> tuple[str, ...]:
    patterns = _stop(field, value)
    for pattern in patterns:
        _compile(field, pattern)
    return patterns


def _compile(field: str, pattern: str) -> None:
    """Refuse what ``re`` refuses; its warnings are about style and not the caller's concern."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        where = getattr(error, "pos", None)
        at = "" if where is None else f" (at character {where})"
        raise RequestError(
            f"{field} holds {shown(pattern)}, which is not a regular expression{at}", param=field
        ) from error


def _stop_token_ids(field: str, value: object) -> tuple[int, ...]:
    return integers(field, value, max_items=MAX_STOP_TOKEN_IDS, ge=0, le=INT32_MAX)


def _logit_bias(field: str, value: object) -> dict[int, float]:
    if not isinstance(value, dict):
        raise RequestError(
            f"{field} must be an object of token ids and numbers, got {shown(value)}", param=field
        )
    if len(value) > MAX_LOGIT_BIAS:
        raise RequestError(
            f"{field} must have at most {MAX_LOGIT_BIAS:,} entries, got {len(value):,}", param=field
        )
    biases: dict[int, float] = {}
    for key, bias in value.items():
        token_id = _bias_key(field, key)
        if token_id in biases:
            raise RequestError(f"{field} names token {token_id:,} twice", param=field)
        biases[token_id] = number(field, bias, ge=-FLOAT32_MAX, le=FLOAT32_MAX)
    return biases


def _bias_key(field: str, key: object) -> int:
    """A token id; JSON's keys are strings, so digits are read here as nowhere else."""
    if isinstance(key, str) and _TOKEN_ID_TEXT.fullmatch(key):
        key = int(key)
    if type(key) is not int or not 0 <= key <= INT32_MAX:
        raise RequestError(f"{field} has the key {shown(key)}, which is no token id", param=field)
    return key


CHECKS: dict[str, Check] = {
    "max_new_tokens": _integer(0),
    "min_new_tokens": _integer(0),
    "temperature": _number(ge=0.0),
    "top_p": _number(gt=0.0, le=1.0),
    "top_k": _top_k,
    "min_p": _number(ge=0.0, le=1.0),
    "frequency_penalty": _number(ge=-2.0, le=2.0),
    "presence_penalty": _number(ge=-2.0, le=2.0),
    "repetition_penalty": _number(gt=0.0, le=2.0),
    "logit_bias": _logit_bias,
    "sampling_seed": _integer(INT64_MIN, INT64_MAX),
    "n": _integer(1, MAX_SAMPLES),
    "stop": _stop,
    "stop_regex": _stop_regex,
    "stop_token_ids": _stop_token_ids,
    "ignore_eos": boolean,
    "no_stop_trim": boolean,
    "skip_special_tokens": boolean,
    "spaces_between_special_tokens": boolean,
    "stream_interval": _integer(1),
    "json_schema": schema_text,
    "regex": grammar_text,
    "ebnf": grammar_text,
    "choice": choices,
    "structural_tag": tag_text,
    "allow_ignored_schema_keywords": boolean,
    "max_thinking_tokens": _integer(0),
}
"""How each parameter is checked; the keys are the fields of SamplingParams."""

UNSUPPORTED = (
    "beam_width",
    "custom_params",
    "watermark",
)
"""Parameters of SGLang that are refused by name where they are set."""


def sampling_params_from_dict(
    values: object, *, defaults: SamplingParams | None = None
) -> SamplingParams:
    """Sampling parameters from outside.

    What is missing or null comes from ``defaults`` (SGLang's table where that is None). Raises
    RequestError for an unknown parameter, one not supported yet, a wrong type, a value out of
    range, two grammars.
    """
    if not isinstance(values, Mapping):
        raise RequestError(
            f"sampling_params must be an object, got {shown(values)}", param="sampling_params"
        )
    for key, value in values.items():
        if key not in CHECKS:
            _refuse_key(key, value)
    return _checked(values, defaults or SamplingParams())


def validate_sampling_params(params: SamplingParams) -> SamplingParams:
    """The same checks for an object made directly; a lone ``stop`` string becomes a tuple."""
    if not isinstance(params, SamplingParams):
        raise RequestError(
            f"sampling_params must be SamplingParams, got {shown(params)}", param="sampling_params"
        )
    values = {field.name: getattr(params, field.name) for field in dataclasses.fields(params)}
    # Here None is not "left out": it is the way to say "up to the context".
    limit = None if params.max_new_tokens is None else SamplingParams().max_new_tokens
    return _checked(values, SamplingParams(max_new_tokens=limit))


def _checked(values: Mapping[str, object], defaults: SamplingParams) -> SamplingParams:
    clean = {
        name: check(name, values[name])
        for name, check in CHECKS.items()
        if values.get(name) is not None
    }
    params = dataclasses.replace(defaults, **clean)
    if params.max_new_tokens is not None and params.min_new_tokens > params.max_new_tokens:
        raise RequestError(
            f"min_new_tokens is {params.min_new_tokens:,}, more than max_new_tokens "
            f"({params.max_new_tokens:,})",
            param="min_new_tokens",
        )
    check_one_grammar({name: getattr(params, name) for name in GRAMMARS})
    return params


def _refuse_key(key: object, value: object) -> None:
    """Raise for a key that is no parameter; an unset one of ``UNSUPPORTED`` passes."""
    if key in UNSUPPORTED:
        if value is None or value is False or value in ("", [], {}) or _is_one_beam(key, value):
            return
        raise RequestError(f"{key} is not supported yet; leave it out", param=str(key))
    if not isinstance(key, str):
        raise RequestError(
            f"the names of sampling parameters are strings, got {shown(key)}",
            param="sampling_params",
        )
    nearest = difflib.get_close_matches(key[:64], CHECKS, n=1, cutoff=0.0)[0]
    name = shown(key)[1:-1] if len(key) <= 64 else shown(key)
    raise RequestError(
        f"unknown sampling parameter {shown(key)}; did you mean {nearest!r}? "
        f"There are: {', '.join(sorted(CHECKS))}",
        param=name,
    )


def _is_one_beam(key: object, value: object) -> bool:
    """True for ``beam_width: 1``, which is no search."""
    return key == "beam_width" and type(value) is int and value == 1
