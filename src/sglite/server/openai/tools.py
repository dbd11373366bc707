"""The tools of a chat: checked, and what ``tool_choice`` makes of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sglite.errors import RequestError
from sglite.parsing.tool_grammar import tool_call_tag
from sglite.tokenizer.messages import check_tools
from sglite.validation.fields import boolean, shown
from sglite.validation.schema_form import check_schema_form

CHOICES = ("auto", "none", "required")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")

Function = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """The tools of one call.

    ``shown`` are those that the template shows, None for none. ``names`` are those that the model
    may call; where it has a format for that, its calls are read from the answer. ``tag`` is a
    structural tag that its calls follow, ``field`` the field of the body that asks for that.
    """

    shown: list[dict[str, Any]] | None = None
    names: frozenset[str] = frozenset()
    tag: str | None = None
    field: str = "tools"


def read_tools(body: Mapping[str, Any], tool_format: str | None) -> ToolUse:
    """The tools of a body, for a model that calls them in ``tool_format``. Raises RequestError."""
    tools = check_tools(body.get("tools"))
    functions = _functions(tools or [])
    choice = _choice(body.get("tool_choice"), functions)
    is_parallel = body.get("parallel_tool_calls")
    is_parallel = is_parallel is None or boolean("parallel_tool_calls", is_parallel)
    if not functions or choice == "none":
        return ToolUse()
    must_call = choice != "auto"
    asking = _asking_field(must_call=must_call, is_parallel=is_parallel, functions=functions)
    if tool_format is None and asking is not None:
        raise RequestError(
            f"{asking} needs to know how this model calls tools, which its chat template does not "
            "tell; start with --tool-call-parser",
            param=asking,
        )
    if asking is None:
        return ToolUse(shown=tools, names=frozenset(functions))
    is_named = isinstance(choice, dict)
    callable_ = {name: functions[name] for name in (choice if is_named else functions)}
    places = {name: f"tools[{i}].function.parameters" for i, name in enumerate(functions)}
    tag = tool_call_tag(
        tool_format or "",
        list(callable_.values()),
        sources=[places[name] for name in callable_],
        at_least_one=must_call,
        is_parallel=is_parallel and not is_named,
    )
    return ToolUse(shown=tools, names=frozenset(callable_), tag=tag, field=asking)


def _asking_field(
    *, must_call: bool, is_parallel: bool, functions: Mapping[str, Function]
) -> str | None:
    """The field that asks for more than calls as the model likes; None where none does."""
    if must_call:
        return "tool_choice"
    if any(function.get("strict") for function in functions.values()):
        return "tools"
    return None if is_parallel else "parallel_tool_calls"


def _functions(tools: list[dict[str, Any]]) -> dict[str, Function]:
    functions: dict[str, Function] = {}
    for i, tool in enumerate(tools):
        field = f"tools[{i}]"
        if tool.get("type", "function") != "function":
            raise RequestError(
                f"{field}.type must be 'function', got {shown(tool['type'])}", param=f"{field}.type"
            )
        function = tool.get("function")
        if not isinstance(function, dict):
            raise RequestError(
                f"{field}.function must be an object, got {shown(function)}",
                param=f"{field}.function",
            )
        name = _checked_function(f"{field}.function", function)
        if name in functions:
            raise RequestError(f"tools has {name!r} twice", param=f"{field}.function.name")
        functions[name] = function
    return functions


def _checked_function(field: str, function: Function) -> str:
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RequestError(
            f"{field}.name must be from 1 to 128 letters, digits, '_', '-' and '.', got "
            f"{shown(name)}",
            param=f"{field}.name",
        )
    parameters = function.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise RequestError(
            f"{field}.parameters must be a JSON schema, an object, got {shown(parameters)}",
            param=f"{field}.parameters",
        )
    check_schema_form(f"{field}.parameters", parameters or {})
    if function.get("strict") is not None:
        boolean(f"{field}.strict", function["strict"])
    return name


def _choice(value: object, functions: Mapping[str, Function]) -> str | dict[str, None]:
    """``auto``, ``none``, ``required``, or the one name that has to be called, as a set."""
    if value is None or value == "":
        return "auto"
    if isinstance(value, dict):
        function = value.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if value.get("type") == "function" and isinstance(name, str):
            if name not in functions:
                raise RequestError(
                    f"tool_choice names {shown(name)}, and tools have no such function",
                    param="tool_choice",
                )
            return {name: None}
    elif isinstance(value, str) and value in CHOICES:
        if value == "required" and not functions:
            raise RequestError("tool_choice is required, and there are no tools", param="tools")
        return value
    raise RequestError(
        f"tool_choice must be one of {', '.join(CHOICES)}, or "
        '{"type": "function", "function": {"name": ...}}, got ' + shown(value),
        param="tool_choice",
    )
