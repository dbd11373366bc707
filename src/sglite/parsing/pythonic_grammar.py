"""Structural tags of calls in Python: ``[f(a=1), g()]``, values written as JSON.

JSON's values are read as Python's (``true`` and ``null`` among them). Arguments come in the order
of the function's ``properties``, the required ones first. Its other keywords say what cannot be
said of a list of arguments and are refused, but for those that only describe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sglite.errors import RequestError
from sglite.parsing.structural import (
    Format,
    const,
    either,
    json_value,
    separated,
    sequence,
    tag,
    triggered,
)  # fmt: skip
from sglite.parsing.tape import NAME

_DEFINITIONS = ("$defs", "definitions")
_KEYWORDS = frozenset({
    "type", "properties", "required", "additionalProperties", "title", "description", "default",
    "examples", "$schema", "$comment", *_DEFINITIONS,
})  # fmt: skip


def pythonic_format(
    schemas: Sequence[tuple[str, Mapping[str, Any]]], *, at_least_one: bool, is_parallel: bool
) -> Format:
    """The format of answers that call the functions of ``schemas``, names with their parameters.

    Raises:
        RequestError: the parameters of one cannot be written as arguments in Python.
    """
    arguments = {name: _arguments(name, schema) for name, schema in schemas}
    calls = separated(
        [tag(f"{name}(", part, ")") for name, part in arguments.items()],
        ", ",
        is_parallel=is_parallel,
    )
    if at_least_one:
        return sequence(const("["), calls, const("]"))
    lists = []
    for name, part in arguments.items():
        rest = [sequence(part, const("), "), calls)] if is_parallel else []
        lists.append(tag(f"[{name}(", either(sequence(part, const(")")), *rest), "]"))
    triggers = [f"[{name}(" for name in arguments]
    return triggered(triggers, lists, is_parallel=is_parallel)


def _arguments(function: str, schema: Mapping[str, Any]) -> Format:
    """What stands between a call's brackets."""
    unsayable = sorted(set(schema) - _KEYWORDS)
    if unsayable:
        raise _refusal(function, f"use {', '.join(unsayable)}")
    properties = schema.get("properties") or {}
    required = [name for name in properties if name in (schema.get("required") or ())]
    for name in schema.get("required") or ():
        if name not in properties or not NAME.fullmatch(name):
            raise _refusal(function, f"require {name!r}")
    optional = [name for name in properties if name not in required and NAME.fullmatch(name)]
    definitions = {key: schema[key] for key in _DEFINITIONS if key in schema}
    parts = {name: _argument(name, properties[name], definitions) for name in properties}
    if required:
        comma = const(", ")
        first, *others = required
        sayings = [parts[first], *(sequence(comma, parts[name]) for name in others)]
        return sequence(*sayings, *(_perhaps(sequence(comma, parts[name])) for name in optional))
    # Without a required one, any may be the first, and those before it are left out.
    alternatives = [const("")]
    for index, name in enumerate(optional):
        rest = (_perhaps(sequence(const(", "), parts[other])) for other in optional[index + 1 :])
        alternatives.append(sequence(parts[name], *rest))
    return either(*alternatives)


def _argument(name: str, schema: object, definitions: Mapping[str, Any]) -> Format:
    if isinstance(schema, Mapping):
        schema = {**definitions, **schema}
    return sequence(const(f"{name}="), json_value(schema))


def _perhaps(part: Format) -> Format:
    return either(const(""), part)


def _refusal(function: str, what: str) -> RequestError:
    return RequestError(
        f"the parameters of the tool {function!r} {what}, which this model's calls, written in "
        "Python, cannot express; describe them as properties whose names are words",
        param="tools",
    )
