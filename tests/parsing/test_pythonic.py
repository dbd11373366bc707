"""Calls in Python."""

import pytest

from sglite.parsing.scanned_answer import ToolCall
from tests.parsing.answers import parse, parser_for

F, G = ToolCall("f", '{"a": 1}'), ToolCall("get", "{}")


@pytest.mark.parametrize(
    "text",
    [
        "[f(a=1), get()]",
        "\n[ f( a = 1 , ) , get() , ]\n",
        "<|python_start|>[f(a=1), get()]<|python_end|>",
        "<|python_start|> [f(a=1),get()] <|python_end|>\n",
        "[f(a=1)][get()]",
        "[f(a=1), get()",
    ],
)
def test_spellings_of_calls(text):
    assert parse("pythonic", text) == ("", "", [F, G])


@pytest.mark.parametrize(
    "text",
    [
        "[f(1)]", "[f](x)", "[f(a=b)]", "[f(a=1]", "[unknown(a=1), f(a=1)]", "[[1]]", "[f(a=", "[",
        "[f(a=__import__('os').system('true'))]", "<|python_start|>print(1)<|python_end|>",
    ],
)  # fmt: skip
def test_what_is_no_call_is_words(text):
    assert parse("pythonic", text) == (text, "", [])


def test_a_list_is_words_from_the_first_thing_that_is_no_call():
    assert parse("pythonic", "Ok: [f(a=1), unknown(), get()]") == (
        "Ok: , unknown(), get()]", "", [F],
    )  # fmt: skip


def test_call_is_told_when_it_is_complete():
    parser = parser_for("pythonic", None)
    assert parser.push("[f(a=1").calls == ()
    (call,) = parser.push("), g").calls
    assert (call.name, call.arguments) == ("f", '{"a": 1}')
