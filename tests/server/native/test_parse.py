"""/parse_function_call and /separate_reasoning: a text read as an answer would be."""

from __future__ import annotations

import asyncio
import json

import pytest

from sglite.server.app import build_app
from sglite.server.native import parse
from tests.server.asgi import client
from tests.server.fake_engine import make_front

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'


def post(path, body, **options):
    async def main():
        async with client(build_app(make_front(**options), [parse])) as http:
            return await http.post(path, json=body)

    return asyncio.run(main())


@pytest.mark.parametrize("name", [None, "", "hermes"])
def test_calls_are_found(name):
    body = {"text": f"I look.\n{CALL}", "tools": TOOLS, "tool_call_parser": name}
    answer = post("/parse_function_call", body).json()
    assert answer["normal_text"].strip() == "I look."
    [call] = answer["calls"]
    assert json.loads(call.pop("parameters")) == {"a": 1}
    assert call == {"tool_index": 0, "name": "f"}


@pytest.mark.parametrize("tools", [TOOLS, [{"name": "f"}], None, []])
def test_a_text_without_calls_is_text(tools):
    answer = post("/parse_function_call", {"text": "Hello", "tools": tools}).json()
    assert answer == {"normal_text": "Hello", "calls": []}


def test_thoughts_are_told_from_words():
    body = {"text": "<think>\nhm\n</think>\n\nYes", "reasoning_parser": "qwen3"}
    answer = post("/separate_reasoning", body).json()
    assert answer == {"reasoning_text": "hm", "text": "Yes"}
    answer = post("/separate_reasoning", {"text": "Yes"}).json()
    assert answer == {"reasoning_text": "", "text": "Yes"}
    body = {"text": "hm</think>Yes", "reasoning_parser": "deepseek-r1"}
    assert post("/separate_reasoning", body).json() == {"reasoning_text": "hm", "text": "Yes"}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/parse_function_call", {"tools": TOOLS}, "text"),
        ("/parse_function_call", {"text": 5, "tools": TOOLS}, "text"),
        ("/parse_function_call", {"text": "a" * (parse.MAX_CHARACTERS + 1)}, "text"),
        ("/parse_function_call", {"text": "a", "tools": 5}, "tools"),
        ("/parse_function_call", {"text": "a", "tools": [{"x": 1}]}, "tools[0]"),
        ("/parse_function_call", {"text": "a", "tools": [{"function": 5}]}, "tools[0]"),
        ("/parse_function_call", {"text": "a", "tool_call_parser": "x"}, "tool_call_parser"),
        ("/parse_function_call", {"text": "a", "tool_call_parser": 5}, "tool_call_parser"),
        ("/separate_reasoning", {}, "text"),
        ("/separate_reasoning", {"text": "a", "reasoning_parser": "x"}, "reasoning_parser"),
        ("/separate_reasoning", {"text": "a", "return_blocks": True}, "return_blocks"),
    ],
    ids=str,
)
def test_bad_values_name_their_field(path, body, param):
    answer = post(path, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_a_model_without_a_format_needs_a_name():
    for path, option in (
        ("/parse_function_call", "tool_call_parser"),
        ("/separate_reasoning", "reasoning_parser"),
    ):
        answer = post(path, {"text": "a"}, **{option: "none"})
        assert answer.status_code == 400 and answer.json()["error"]["param"] == option
