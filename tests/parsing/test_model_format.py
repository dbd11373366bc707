"""A model's formats, found in its chat template; the embedded model's are Hermes and Qwen3."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sglite.parsing.model_format import ModelFormat, find_model_format
from sglite.tokenizer.chat_template import ChatTemplate
from tests.server.fake_engine import embedded_tokenizer

START, END = 3, 4


def find(tool_parser: str = "auto", reasoning_parser: str = "auto") -> ModelFormat:
    return find_model_format(
        embedded_tokenizer(), tool_parser=tool_parser, reasoning_parser=reasoning_parser
    )


def encode(text: str) -> list[int]:
    return embedded_tokenizer().encode(text)


def test_the_embedded_models_formats():
    formats = find()
    assert (formats.tool_format, formats.reasoning_format) == ("hermes", "qwen3")
    assert not formats.thinks_by_default
    assert formats.thought_ids == (START, END)
    assert not formats.has_hidden_markers


def test_options_win_and_may_say_none():
    formats = find("llama3", "none")
    assert (formats.tool_format, formats.reasoning_format) == ("llama3", None)
    assert formats.thought_ids is None and formats.open_thinking() is None
    assert find("none").tool_format is None


def test_without_a_tokenizer_there_is_no_format():
    formats = find_model_format(None, tool_parser="hermes", reasoning_parser="qwen3")
    assert formats == ModelFormat()


def test_markers_that_are_special_tokens_have_to_be_shown(monkeypatch):
    monkeypatch.setattr(embedded_tokenizer(), "special_token_ids", frozenset({0, 1, 2, 5}))
    assert find().has_hidden_markers
    assert not find("none").has_hidden_markers


@pytest.mark.parametrize(
    ("prompt", "may_begin", "expected"),
    [
        ("<|im_start|>assistant\n<think>\n", False, True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", True, None),
        ("<|im_start|>assistant\n", True, False),
        ("<|im_start|>assistant\n", False, None),
        ("<|im_start|>user\n<think><|im_end|>\n<|im_start|>assistant\n", False, None),
    ],
)
def test_thoughts_of_an_answer(prompt, may_begin, expected):
    thinking = find().thinking(encode(prompt), may_begin=may_begin)
    if expected is None:
        assert thinking is None
    else:
        ids = (thinking.start_token_id, thinking.end_token_id)
        assert (*ids, thinking.is_open) == (START, END, expected)


def chat(**variables: Any) -> list[int]:
    messages = [{"role": "user", "content": "Say <think>"}]
    return embedded_tokenizer().encode_chat(messages, template_kwargs=variables)


def test_a_chats_thoughts():
    formats = find()
    on = {"enable_thinking": True}
    assert formats.chat_thinking(chat(**on), on).is_open
    assert not formats.chat_thinking(chat(), on).is_open
    assert formats.chat_thinking(chat(), None) is None, "this template thinks where it is told to"
    assert (
        not dataclasses.replace(formats, thinks_by_default=True).chat_thinking(chat(), {}).is_open
    )


QWEN3 = "{{ messages[0].content }}{% if enable_thinking is false %}<think></think>{% endif %}"


@pytest.mark.parametrize(
    ("template", "is_on"),
    [
        (QWEN3, True),
        ("{% if enable_thinking %}<think>{% endif %}</think>", False),
        ("{% if thinking %}<think>{% else %}</think>{% endif %}", False),
        ("It has no switch: <think></think>", True),
        ("{{ raise_exception(enable_thinking) }}</think>", True),
    ],
)
def test_whether_a_model_thinks_by_default_is_seen_in_what_is_rendered(
    monkeypatch, template, is_on
):
    tokenizer = embedded_tokenizer()
    monkeypatch.setitem(tokenizer._templates, "default", ChatTemplate(template))
    assert find().thinks_by_default == is_on
    assert find(reasoning_parser="deepseek-r1").thinks_by_default, "it always does"


@pytest.mark.parametrize(
    ("variables", "is_off", "is_off_by_default"),
    [
        (None, False, True),
        ({"other": 1}, False, True),
        ({"enable_thinking": True}, False, False),
        ({"thinking": True}, False, False),
        ({"enable_thinking": False}, True, True),
        ({"thinking": False}, True, True),
    ],
)
def test_thoughts_may_be_off(variables, is_off, is_off_by_default):
    assert ModelFormat(thinks_by_default=True).is_off(variables) == is_off
    assert ModelFormat(thinks_by_default=False).is_off(variables) == is_off_by_default


def test_a_model_of_the_deepseek_kind_thinks_at_once():
    formats = find(reasoning_parser="deepseek-r1")
    assert formats.chat_thinking(chat(), None).is_open
    assert formats.chat_thinking(chat(), {"enable_thinking": False}) is None
