"""What a chat request may contain, checked and made plain before a template sees it.

Nothing but strings, numbers, booleans, lists and dicts reaches a template. Every refusal is a
RequestError that names the field.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from sglite.errors import RequestError

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MAX_MESSAGES = 10_000
MAX_TOOLS = 256
MAX_DEPTH = 64
MAX_TEMPLATE_KWARGS = 32
MAX_KWARG_CHARS = 4096

PART_SEPARATOR = "\n"
"""Between the text parts of one message: templates take one string."""

_REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")
_KWARG_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_RESERVED_NAMES = frozenset(
    "messages tools documents add_generation_prompt continue_final_message chat_template "
    "conversation tokenize tokenizer_kwargs padding truncation max_length return_tensors "
    "return_dict return_assistant_tokens_mask sanitize_control_tokens raise_exception "
    "strftime_now namespace dict range cycler joiner lipsum loop self caller varargs kwargs "
    "true false none True False None".split()
)


def check_messages(messages: Any) -> list[dict[str, Any]]:
    """A copy of ``messages`` for a template: content joined to one string, arguments parsed."""
    if not isinstance(messages, list) or not messages:
        raise RequestError("messages must be a list with at least one message", param="messages")
    if len(messages) > MAX_MESSAGES:
        raise RequestError(
            f"messages has {len(messages)} entries; the limit is {MAX_MESSAGES}", param="messages"
        )
    return [_message(f"messages[{i}]", message) for i, message in enumerate(messages)]


def check_tools(tools: Any) -> list[dict[str, Any]] | None:
    """A copy of the tool declarations; None where there are none."""
    if tools is None or tools == []:
        return None
    if not isinstance(tools, list) or len(tools) > MAX_TOOLS:
        raise RequestError(f"tools must be a list of at most {MAX_TOOLS} tools", param="tools")
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise RequestError(f"tools[{index}] must be an object", param=f"tools[{index}]")
    return [_plain_json(tool, f"tools[{index}]") for index, tool in enumerate(tools)]


def check_template_kwargs(kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """The request's own template variables: harmless names, scalar values."""
    param = "chat_template_kwargs"
    if kwargs is None:
        return {}
    if not isinstance(kwargs, Mapping) or len(kwargs) > MAX_TEMPLATE_KWARGS:
        raise RequestError(
            f"{param} must be an object with at most {MAX_TEMPLATE_KWARGS} entries", param=param
        )
    for name, value in kwargs.items():
        _check_kwarg(name, value, param)
    return dict(kwargs)


def _check_kwarg(name: Any, value: Any, param: str) -> None:
    if not isinstance(name, str) or not _KWARG_NAME.fullmatch(name):
        raise RequestError(
            f"{param}: {str(name)[:80]!r} is not a name (a letter, then at most 63 letters, digits "
            "and underscores)",
            param=param,
        )
    if name in _RESERVED_NAMES or name.endswith(("_token", "_tokens")):
        raise RequestError(f"{param}: {name!r} is reserved and cannot be set", param=param)
    if type(value) not in (bool, int, float, str):
        raise RequestError(
            f"{param}.{name} must be a boolean, a number or a string, not {type(value).__name__}",
            param=param,
        )
    _check_size(value, f"{param}.{name}", param)


def _check_size(value: bool | int | float | str, name: str, param: str) -> None:
    if isinstance(value, str):
        is_bounded = len(value) <= MAX_KWARG_CHARS
    elif isinstance(value, int):
        is_bounded = -(2**63) <= value < 2**63
    else:
        is_bounded = math.isfinite(value)
    if not is_bounded:
        raise RequestError(
            f"{name} must be finite, within 64 bits, or at most {MAX_KWARG_CHARS} characters",
            param=param,
        )


def _message(param: str, message: Any) -> dict[str, Any]:
    """One message as a template may read it; fields that are null or unknown objects are gone."""
    if not isinstance(message, dict):
        raise RequestError(f"{param} must be an object", param=param)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise RequestError(
            f"{param}.role is {str(role)[:40]!r}; it must be one of {', '.join(ROLES)}",
            param=f"{param}.role",
        )
    plain = {
        name: _scalar(value, param)
        for name, value in message.items()
        if isinstance(name, str) and type(value) in (bool, int, float, str)
    }
    content = _content(f"{param}.content", message)
    if content is not None:
        plain["content"] = content
    if message.get("tool_calls"):
        plain["tool_calls"] = _tool_calls(f"{param}.tool_calls", message["tool_calls"])
    return _with_reasoning_names(plain)


def _content(param: str, message: dict[str, Any]) -> str | None:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None and message["role"] == "assistant":
        return None
    if not isinstance(content, list):
        raise RequestError(f"{param} must be a string or a list of text parts", param=param)
    texts = [_text_part(f"{param}[{i}]", part) for i, part in enumerate(content)]
    return PART_SEPARATOR.join(texts)


def _text_part(param: str, part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    if kind != "text" or not isinstance(part, dict):
        raise RequestError(
            f"{param} is of type {str(kind)[:40]!r}; only text parts are supported", param=param
        )
    text = part.get("text")
    if not isinstance(text, str):
        raise RequestError(f"{param}.text must be a string", param=f"{param}.text")
    return text


def _tool_calls(param: str, calls: Any) -> list[dict[str, Any]]:
    if not isinstance(calls, list):
        raise RequestError(f"{param} must be a list", param=param)
    return [_tool_call(f"{param}[{i}]", call) for i, call in enumerate(calls)]


def _tool_call(param: str, call: Any) -> dict[str, Any]:
    """One call; templates want its arguments as an object, OpenAI sends them as JSON text."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RequestError(f"{param} must have a function with a name", param=param)
    plain: dict[str, Any] = _plain_json(call, param)
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        plain["function"]["arguments"] = _parsed_arguments(f"{param}.function.arguments", arguments)
    return plain


def _parsed_arguments(param: str, text: str) -> Any:
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{param} is not valid JSON ({error})", param=param) from error
    if not isinstance(arguments, dict):
        raise RequestError(f"{param} must be a JSON object", param=param)
    return _plain_json(arguments, param)


def _plain_json(value: Any, param: str, depth: int = 0) -> Any:
    """A deep copy made of JSON types alone."""
    if depth > MAX_DEPTH:
        raise RequestError(f"{param} is nested deeper than {MAX_DEPTH}", param=param)
    if isinstance(value, dict):
        return {
            _scalar(str(key), param): _plain_json(item, param, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_plain_json(item, param, depth + 1) for item in value]
    if value is None or type(value) in (bool, int, float, str):
        return _scalar(value, param)
    raise RequestError(f"{param} holds a {type(value).__name__}, which is not JSON", param=param)


def _scalar(value: Any, param: str) -> Any:
    """``value``, unless it could not be sent to the process that renders."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise RequestError(f"{param} holds an integer of more than 64 bits", param=param)
    if isinstance(value, str) and _SURROGATE.search(value):
        raise RequestError(f"{param} holds a lone surrogate, which is no text", param=param)
    return value


def _with_reasoning_names(message: dict[str, Any]) -> dict[str, Any]:
    """Reasoning under each name that templates use, as transformers passes it."""
    reasoning = next((message[name] for name in _REASONING_FIELDS if name in message), None)
    if reasoning is None:
        return message
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}
