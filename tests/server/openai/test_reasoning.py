"""What a body says about thoughts, and what templates are told of it."""

from __future__ import annotations

from typing import Any

import pytest

from sglite.errors import RequestError
from sglite.server.openai.reasoning import ReasoningOptions, read_reasoning

QWEN = "{% if enable_thinking is defined and enable_thinking is false %}<think>"
GPT = "Reasoning: {{ reasoning_effort }}"
DEEPSEEK = "{% if thinking %}<think>{% endif %}"


def read(template: str = QWEN, **body: Any) -> ReasoningOptions:
    return read_reasoning(body, template)


def test_nothing_said_is_the_default():
    assert read() == ReasoningOptions()


@pytest.mark.parametrize(
    ("template", "body", "variables", "ignored"),
    [
        (QWEN, {"reasoning_effort": "none"}, {"enable_thinking": False}, ()),
        (QWEN, {"reasoning_effort": "high"}, None, ("reasoning_effort",)),
        (QWEN, {"reasoning_effort": ""}, None, ()),
        (GPT, {"reasoning_effort": "high"}, {"reasoning_effort": "high"}, ()),
        (GPT, {"reasoning_effort": "none"}, {"reasoning_effort": "none"}, ()),
        (GPT, {"reasoning_effort": 0.5}, {"reasoning_effort": 0.5}, ()),
        ("", {"reasoning_effort": "none"}, None, ("reasoning_effort",)),
        (QWEN, {"thinking": True}, {"enable_thinking": True}, ()),
        (QWEN, {"thinking": {"type": "disabled"}}, {"enable_thinking": False}, ()),
        (DEEPSEEK, {"thinking": False}, {"thinking": False}, ()),
        ("", {"thinking": True}, None, ("thinking",)),
        (QWEN, {"chat_template_kwargs": {"a": 1}}, {"a": 1}, ()),
    ],
)
def test_fields_become_variables_that_the_template_knows(template, body, variables, ignored):
    found = read(template, **body)
    assert (found.template_kwargs, found.ignored) == (variables, ignored)


def test_variables_of_the_call_win():
    body = {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": True}}
    found = read(**body)
    assert found.template_kwargs == {"enable_thinking": True}


def test_a_budget_may_stand_in_thinking():
    assert read(thinking={"type": "enabled", "budget_tokens": 9}).max_tokens == 9


def test_how_thoughts_are_shown():
    found = read(separate_reasoning=False, include_reasoning=False, stream_reasoning=False)
    assert not (found.is_separate or found.is_shown or found.is_streamed)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"reasoning_effort": "much"}, "reasoning_effort"),
        ({"reasoning_effort": 2}, "reasoning_effort"),
        ({"reasoning_effort": True}, "reasoning_effort"),
        ({"reasoning_effort": ["low"]}, "reasoning_effort"),
        ({"thinking": "yes"}, "thinking"),
        ({"thinking": {"type": "often"}}, "thinking"),
        ({"thinking": {"type": ["enabled"]}}, "thinking"),
        ({"thinking": {"type": "enabled", "budget_tokens": -1}}, "thinking.budget_tokens"),
        ({"separate_reasoning": "x"}, "separate_reasoning"),
        ({"stream_reasoning": 1}, "stream_reasoning"),
        ({"include_reasoning": 1}, "include_reasoning"),
    ],
    ids=str,
)
def test_bad_values_name_their_field(body, param):
    with pytest.raises(RequestError) as caught:
        read(**body)
    assert caught.value.param == param


@pytest.mark.parametrize("kwargs", [5, [], "x"])
def test_kwargs_that_are_no_object_are_left_to_who_renders(kwargs):
    assert read(chat_template_kwargs=kwargs, reasoning_effort="none").template_kwargs == kwargs
