"""``/parse_function_call`` and ``/separate_reasoning``: a text read as a chat's answer would be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from sglite.errors import RequestError
from sglite.parsing.formats import (
    REASONING_FORMATS,
    TOOL_FORMATS,
    make_answer_parser,
    parse_whole,
)
from sglite.server.http.body import read_json
from sglite.server.http.field_policy import check_fields
from sglite.server.http.routes import ApiRoute, json_response
from sglite.server.prompt_encoding import off_loop
from sglite.tokenizer.messages import check_tools
from sglite.validation.fields import shown, string

if TYPE_CHECKING:
    from collections.abc import Collection

    from sglite.server.front import Front

MAX_CHARACTERS = 1 << 20
"""Most characters of a text."""

CALL_FIELDS = frozenset(("text", "tools", "tool_call_parser"))
REASONING_FIELDS = frozenset(("text", "reasoning_parser"))
REASONING_UNSUPPORTED = {"return_blocks": False}

CALL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "tools": {"type": "array"},
        "tool_call_parser": {"type": ["string", "null"]},
    },
    "required": ["text", "tools"],
}
REASONING_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "reasoning_parser": {"type": ["string", "null"]},
    },
    "required": ["text"],
}


def routes(front: Front) -> list[ApiRoute]:
    """The two routes."""
    api = ParseApi(front)
    return [
        ApiRoute(
            path="/parse_function_call",
            methods=("POST",),
            handler=api.parse_function_call,
            access="user",
            summary="Calls of tools in a text",
            body=CALL_SCHEMA,
        ),
        ApiRoute(
            path="/separate_reasoning",
            methods=("POST",),
            handler=api.separate_reasoning,
            access="user",
            summary="Thoughts and words in a text",
            body=REASONING_SCHEMA,
        ),
    ]


class ParseApi:
    """The handlers. Without a parser's name they take the one of the served model."""

    def __init__(self, front: Front) -> None:
        self._formats = front.model_format

    async def parse_function_call(self, request: Request) -> Response:
        """``/parse_function_call``. Raises RequestError."""
        body = await read_json(request)
        check_fields(request, body, known=CALL_FIELDS, unsupported={})
        text = _text(body.get("text"))
        own = self._formats.tool_format
        name = _parser("tool_call_parser", body.get("tool_call_parser"), own, TOOL_FORMATS)
        parser = make_answer_parser(name, None, tool_names=_tool_names(body.get("tools")))
        words, _, calls = await off_loop(lambda: parse_whole(parser, text), size=len(text))
        shown_calls = [
            {"tool_index": index, "name": call.name, "parameters": call.arguments}
            for index, call in enumerate(calls)
        ]
        return json_response({"normal_text": words, "calls": shown_calls})

    async def separate_reasoning(self, request: Request) -> Response:
        """``/separate_reasoning``. Raises RequestError."""
        body = await read_json(request)
        check_fields(request, body, known=REASONING_FIELDS, unsupported=REASONING_UNSUPPORTED)
        text = _text(body.get("text"))
        own = self._formats.reasoning_format
        name = _parser("reasoning_parser", body.get("reasoning_parser"), own, REASONING_FORMATS)
        parser = make_answer_parser(None, name, tool_names=())
        words, reasoning, _ = await off_loop(lambda: parse_whole(parser, text), size=len(text))
        return json_response({"reasoning_text": reasoning, "text": words})


def _text(value: object) -> str:
    """The text, which may be empty."""
    return "" if value == "" else string("text", value, max_length=MAX_CHARACTERS)


def _parser(field: str, value: object, own: str | None, known: Collection[str]) -> str:
    name = own if value is None or value == "" else value
    if not isinstance(name, str) or name not in known:
        given = f"got {shown(value)}" if name is value else "and this model has none of its own"
        raise RequestError(f"{field} must be one of {', '.join(known)}, {given}", param=field)
    return name


def _tool_names(tools: Any) -> list[str]:
    """The names in a list of tools, as OpenAI writes them or bare."""
    names = []
    for i, tool in enumerate(check_tools(tools) or []):
        function = tool.get("function", tool)
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str):
            raise RequestError(f"tools[{i}] has no name", param=f"tools[{i}]")
        names.append(name)
    return names
