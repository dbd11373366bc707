"""Mistral's calls: lists, and one by one."""

import pytest

from sglite.parsing.scanned_answer import ToolCall
from tests.parsing.answers import parse

F, G = ToolCall("f", '{"a": 1}'), ToolCall("get", "{}")


@pytest.mark.parametrize(
    "text",
    [
        '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}}, {"name": "get", "arguments": {}}]',
        '[TOOL_CALLS][{"arguments": {"a": 1}, "name": "f"},\n{"name": "get"}] ',
        '[TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]get[ARGS]{}',
        '[TOOL_CALLS]f{"a": 1}\n[TOOL_CALLS]get[CALL_ID]0aF3xYz12[ARGS]{}\n',
        '[TOOL_CALLS]{"name": "f", "arguments": {"a": 1}}[TOOL_CALLS] get{}',
    ],
)
def test_spellings_of_calls(text):
    assert parse("mistral", text) == ("", "", [F, G])


@pytest.mark.parametrize(
    "text",
    [
        "[TOOL_CALLS]",
        "[TOOL_CALLS] []",
        "[TOOL_CALLS] [1, 2]",
        "[TOOL_CALLS]f(1)",
        '[TOOL_CALLS]unknown[ARGS]{"a": "[TOOL_CALLS]f{}"}',
        '[TOOL_CALLS] [{"name": "unknown", "arguments": {}}]',
    ],
)
def test_what_is_no_call_is_words(text):
    assert parse("mistral", text) == (text, "", [])


def test_an_unknown_call_of_a_list_hides_no_other():
    text = '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}}, {"name": "no"}, {"name": "get"}] x'
    assert parse("mistral", text) == (', {"name": "no"} x', "", [F, G])
