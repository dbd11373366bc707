"""Hermes' calls, as they come and where they go wrong."""

import pytest

from sglite.parsing.pieces import AnswerPiece, ToolCallPiece
from sglite.parsing.scanned_answer import ToolCall
from tests.parsing.answers import parse, parser_for


def test_name_comes_first_and_arguments_as_they_are_written():
    parser = parser_for("hermes", None)
    pushed = ['<tool_call>\n{"name": "f', '", "arguments": {"a"', ": 1", "}", "}\n</tool_call>"]
    assert [parser.push(text).calls for text in pushed] == [
        (),
        (ToolCallPiece(0, "f", '{"a"'),),
        (ToolCallPiece(0, None, ": 1"),),
        (ToolCallPiece(0, None, "}"),),
        (),
    ]
    assert parser.finish() == AnswerPiece()


def test_only_the_beginning_of_a_mark_is_held_back():
    parser = parser_for("hermes", None)
    assert parser.push("1 < 2, a <tool_").text == "1 < 2, a "
    assert parser.push("box> <").text == "<tool_box> "
    assert parser.finish().text == "<"


def test_end_mark_inside_of_a_string_ends_nothing():
    text = '<tool_call>{"name": "f", "arguments": {"a": "</tool_call>}\\""}}</tool_call> done'
    assert parse("hermes", text) == (" done", "", [ToolCall("f", '{"a": "</tool_call>}\\""}')])


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ('{"name": "f"}', "{}"),
        ('{"name": "f", "arguments": null}', "{}"),
        ('{"arguments": {"a": [1]}, "name": "f"}', '{"a": [1]}'),
        ('{"name": "f", "arguments": "{\\"a\\": 1}"}', '{"a": 1}'),
        ('{"name": "f", "arguments": ""}', "{}"),
        ('{"name": "f", "arguments": "Paris"}', '"Paris"'),
        ('{"name": "f", "arguments": "{\\"a\\": \\"\\ud800\\"}"}', r'"{\"a\": \"\ud800\"}"'),
        ('{"name": "f", "arguments": [null]}', "[null]"),
        ('{"id": 1, "name": "f", "x": {"name": "get"}, "parameters": {}}', "{}"),
        ('{"name": "f", "arguments": {"a": 1}', '{"a": 1}'),
        ('{"name": "f", "arguments": {"a": {"b": 1}', '{"a": {"b": 1}\n'),
    ],
)
def test_spellings_of_arguments(call, arguments):
    found = parse("hermes", f"<tool_call>\n{call}\n</tool_call>")
    assert found == ("", "", [ToolCall("f", arguments)])


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "unknown", "arguments": {"a": "<tool_call>"}}</tool_call>',
        "<tool_call>f()</tool_call>",
        '<tool_call>{"name": 1}</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        '<tool_call>{"name": "f',
        "<tool_call> \n",
        "</tool_call>",
        " \n",
    ],
)
def test_what_is_no_call_is_words(text):
    assert parse("hermes", text) == (text, "", [])


def test_no_call_is_found_inside_of_an_unknown_one():
    inner = '<tool_call>{\\"name\\": \\"f\\", \\"arguments\\": {}}</tool_call>'
    text = f'<tool_call>{{"name": "unknown", "arguments": {{"a": "{inner}"}}}}</tool_call>'
    known = '<tool_call>{"name": "f"}</tool_call>'
    assert parse("hermes", text + known) == (text, "", [ToolCall("f", "{}")])


def test_broken_call_keeps_its_arguments_and_the_rest_is_words():
    text = '<tool_call>{"name": "f", "arguments": {"a": [1}</tool_call> more'
    assert parse("hermes", text) == ("}</tool_call> more", "", [ToolCall("f", '{"a": [1')])
    assert parse("hermes", text[:40]) == ("", "", [ToolCall("f", '{"')])


def test_white_space_beside_calls_is_no_words():
    call = '<tool_call>{"name": "f"}</tool_call>'
    calls = [ToolCall("f", "{}")] * 2
    assert parse("hermes", f"\n{call}\n\n{call}\n") == ("", "", calls)
    assert parse("hermes", f"a\n{call}\n{call}\nb") == ("a\n\nb", "", calls)


def test_calls_of_thoughts_are_thoughts():
    call = '<tool_call>{"name": "f"}</tool_call>'
    text = f"<think>\n{call}\n</think>\n\n{call}"
    assert parse("hermes", text, reasoning_format="qwen3") == ("", call, [ToolCall("f", "{}")])
