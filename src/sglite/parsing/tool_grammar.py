"""Structural tags (xgrammar's form) that make a model call tools, in its own format.

What a tag lets through is read back as calls by the format's scanner: both have their marks from
the same module.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from sglite.errors import ConfigError, RequestError
from sglite.parsing import deepseek, hermes, llama3, mistral
from sglite.parsing.formats import TOOL_FORMATS
from sglite.parsing.pythonic_grammar import pythonic_format
from sglite.parsing.structural import Format, const, json_value, separated, sequence, tag, triggered
from sglite.parsing.tape import NAME

_NO_PARAMETERS: Mapping[str, Any] = {
    "type": "object", "properties": {}, "additionalProperties": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Spelling:
    """How a call is written around its arguments, ``NAME`` standing for the function's name.

    Calls have ``separator`` between them, and all of them ``opening`` before and ``closing`` after.
    In prose, ``trigger`` tells that calls begin.
    """

    begin: str
    end: str
    separator: str
    trigger: str
    opening: str = ""
    closing: str = ""


_SPELLINGS = {
    "hermes": _Spelling(
        begin=hermes.BEGIN + '\n{"name": "NAME", "arguments": ',
        end="}\n" + hermes.END,
        separator="\n",
        trigger=hermes.BEGIN,
    ),
    "llama3": _Spelling(
        begin='{"name": "NAME", "parameters": ', end="}", separator="; ", trigger=llama3.TAG
    ),
    "mistral": _Spelling(
        begin='{"name": "NAME", "arguments": ',
        end="}",
        separator=", ",
        trigger=mistral.BEGIN,
        opening=mistral.BEGIN + " [",
        closing="]",
    ),
    "mistral11": _Spelling(
        begin=f"{mistral.BEGIN}NAME{mistral.ARGUMENTS}",
        end="",
        separator="",
        trigger=mistral.BEGIN,
    ),
    "deepseekv3": _Spelling(
        begin=f"{deepseek.CALL_BEGIN}function{deepseek.SEPARATOR}NAME\n{deepseek.FENCE}\n",
        end=f"\n{deepseek.FENCE_END}{deepseek.CALL_END}",
        separator="\n",
        trigger=deepseek.CALLS_BEGIN,
        opening=deepseek.CALLS_BEGIN,
        closing=deepseek.CALLS_END,
    ),
    "deepseekv31": _Spelling(
        begin=f"{deepseek.CALL_BEGIN}NAME{deepseek.SEPARATOR}",
        end=deepseek.CALL_END,
        separator="",
        trigger=deepseek.CALLS_BEGIN,
        opening=deepseek.CALLS_BEGIN,
        closing=deepseek.CALLS_END,
    ),
}


def tool_call_tag(
    tool_format: str,
    functions: Sequence[Mapping[str, Any]],
    *,
    at_least_one: bool,
    is_parallel: bool,
    sources: Sequence[str | None] = (),
) -> str:
    """The structural tag, as JSON text, of answers that call ``functions`` in ``tool_format``.

    With ``at_least_one`` the answer is calls and nothing else, with arguments that fulfil each
    function's ``parameters``. Without it, it is text in which calls may stand; the arguments of
    functions with ``strict`` fulfil their ``parameters``, those of others are any object.
    ``is_parallel`` allows several calls; otherwise the answer ends with the first.

    Args:
        functions: OpenAI's ``{"name": ..., "parameters": {...}, "strict": ...}``, at least one.
        sources: what messages call the ``parameters`` of each function.

    Raises:
        ConfigError: the format is not known.
        RequestError: a function cannot be called in this format.
    """
    if tool_format not in TOOL_FORMATS:
        known = ", ".join(TOOL_FORMATS)
        raise ConfigError(f"no format of tool calls is called {tool_format!r}; known: {known}")
    for function in functions:
        _check_name(function["name"])
    name = TOOL_FORMATS[tool_format].name
    loose = _names_alone if name == "pythonic" else _any_object
    schemas = [
        (str(one["name"]), _parameters(one) if at_least_one or one.get("strict") else loose(one))
        for one in functions
    ]
    arguments = [
        (name_of_one, json_value(schema, source))
        for (name_of_one, schema), source in zip_longest(schemas, sources)
    ]
    if name == "pythonic":
        form = pythonic_format(schemas, at_least_one=at_least_one, is_parallel=is_parallel)
    elif at_least_one:
        form = _calls_alone(_SPELLINGS[name], arguments, is_parallel)
    else:
        form = _calls_in_text(_SPELLINGS[name], arguments, is_parallel)
    return json.dumps({"type": "structural_tag", "format": form}, ensure_ascii=False)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name or not NAME.fullmatch(name):
        raise RequestError(
            f"the tool's name {name!r} cannot be written in a call; use letters, digits, "
            "underscores, dots and dashes",
            param="tools",
        )


def _parameters(function: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON schema of a function's arguments."""
    return function.get("parameters") or _NO_PARAMETERS


def _any_object(function: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "object"}


def _names_alone(function: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema that lets each argument be anything, for a format that needs their names."""
    names = _parameters(function).get("properties") or ()
    return {"type": "object", "properties": {name: {} for name in names}}


def _calls(
    spelling: _Spelling, arguments: Sequence[tuple[str, Format]], is_parallel: bool
) -> Format:
    tags = [
        tag(spelling.begin.replace("NAME", name), values, spelling.end)
        for name, values in arguments
    ]
    return separated(tags, spelling.separator, is_parallel=is_parallel)


def _calls_alone(
    spelling: _Spelling, arguments: Sequence[tuple[str, Format]], is_parallel: bool
) -> Format:
    calls = _calls(spelling, arguments, is_parallel)
    if not spelling.opening:
        return calls
    return sequence(const(spelling.opening), calls, const(spelling.closing))


def _calls_in_text(
    spelling: _Spelling, arguments: Sequence[tuple[str, Format]], is_parallel: bool
) -> Format:
    """Text with calls in it: each on its own, or all together where something is around them."""
    calls = _calls(spelling, arguments, is_parallel)
    tags = calls["tags"]
    if spelling.opening:
        tags = [tag(spelling.opening, calls, spelling.closing)]
    elif not spelling.begin.startswith(spelling.trigger):
        tags = [{**call, "begin": spelling.trigger + call["begin"]} for call in tags]
    return triggered([spelling.trigger], tags, is_parallel=is_parallel)
