"""Thoughts and the answer after them."""

import pytest

from sglite.parsing.pieces import AnswerPiece
from tests.parsing.answers import parse, parser_for


@pytest.mark.parametrize(
    ("text", "options", "words", "reasoning"),
    [
        ("<think>\na b\n\nc\n</think>\n\nHi\n", {}, "Hi\n", "a b\n\nc"),
        ("\n<think>a</think>Hi", {}, "Hi", "a"),
        ("Hi <think>a</think>", {}, "Hi <think>a</think>", ""),
        ("\n Hi", {}, "\n Hi", ""),
        ("a </thin </think> Hi", {"is_thinking": True}, "Hi", "a </thin"),
        ("<think>a</think>Hi", {"is_thinking": True}, "Hi", "a"),
        ("a\n</think>\nHi", {"reasoning_format": "deepseek-r1"}, "Hi", "a"),
        ("a b\n", {"reasoning_format": "deepseek-r1"}, "", "a b"),
        ("<think></think>Hi", {}, "Hi", ""),
        ("<think>a</think>b</think>", {}, "b</think>", "a"),
        ("<thin", {}, "<thin", ""),
        ("a</think>b", {"reasoning_format": None}, "a</think>b", ""),
    ],
)
def test_thoughts_and_words(text, options, words, reasoning):
    options = {"reasoning_format": "qwen3", **options}
    assert parse(None, text, **options) == (words, reasoning, [])


def test_thoughts_come_as_they_are_thought():
    parser = parser_for(None)
    assert parser.push("<think>\nso <b").reasoning == "so <b"
    assert parser.push("r>\n").reasoning == "r>"
    assert parser.push("</th") == AnswerPiece()
    assert parser.push("is").reasoning == "\n</this"
    assert parser.push(" </think>") == AnswerPiece()
    assert parser.push("\nHi") == AnswerPiece("Hi")
