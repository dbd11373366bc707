"""DeepSeek's calls, with a fence and without."""

import pytest

from sglite.parsing.scanned_answer import ToolCall
from tests.parsing.answers import parse

B, E = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
C, D, S = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"
F, G = ToolCall("f", '{"a": 1}'), ToolCall("get", "{}")


@pytest.mark.parametrize(
    "text",
    [
        f'{B}{C}function{S}f\n```json\n{{"a": 1}}\n```{D}\n'
        f"{C}function{S}get\n```json\n{{}}\n```{D}{E}",
        f'{B}{C}f{S}{{"a": 1}}{D}{C}get{S}{{}}{D}{E}',
        f'{C}f{S}{{"a": 1}}{D}\n{C}get{S}{D}\n',
        f'{B}\n{C}function{S}f\n```json\n"{{\\"a\\": 1}}"\n```{D}{C}get{S}null{D}{E}\n',
    ],
)
def test_spellings_of_calls(text):
    assert parse("deepseek", text) == ("", "", [F, G])


@pytest.mark.parametrize(
    "text",
    [
        B,
        f"{B} {E}",
        f"{B}{C}f",
        f"{C}f{D}",
        f'{B}{C}unknown{S}{{"a": "{C}f{S}"}}{D}{E}',
        f"{B}x{C}",
    ],
)
def test_what_is_no_call_is_words(text):
    assert parse("deepseek", text) == (text, "", [])


def test_words_around_calls_stay():
    assert parse("deepseek", f'a {B}{C}f{S}{{"a": 1}}{D}{E} b') == ("a  b", "", [F])
