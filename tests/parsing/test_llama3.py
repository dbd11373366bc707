"""Llama's calls, tagged and bare."""

import pytest

from sglite.parsing.scanned_answer import ToolCall
from tests.parsing.answers import parse, parser_for

F, G = ToolCall("f", '{"a": 1}'), ToolCall("get", "{}")


@pytest.mark.parametrize("between", ["; ", ";", "\n", ";<|python_tag|>"])
@pytest.mark.parametrize("begin", ["<|python_tag|>", "", "\n"])
def test_calls_follow_each_other(begin, between):
    text = begin + '{"name": "f", "parameters": {"a": 1}}' + between + '{"name": "get"};\n'
    assert parse("llama3", text) == ("", "", [F, G])


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "f", "age": 3}'.replace("f", "Alice"),
        '{"age": 3, "name": "f"}',
        'So: {"name": "f", "parameters": {}}',
        "<|python_tag|>print(1)",
        "<|python_tag|> <|python_tag|>",
    ],
)
def test_what_is_no_call_is_words(text):
    assert parse("llama3", text) == (text, "", [])


def test_answer_in_json_is_not_held_back():
    parser = parser_for("llama3", None)
    assert parser.push('{"city": ').text == '{"city": '
    assert parser.push('"Par').text == '"Par'


def test_words_after_a_call_keep_their_separator():
    text = '{"name": "f", "parameters": {"a": 1}}; done <|python_tag|>{"name": "get"}'
    assert parse("llama3", text) == ("; done ", "", [F, G])
