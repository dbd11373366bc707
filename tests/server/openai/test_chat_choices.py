"""Calls of tools and thoughts in a chat's answers, whole and streamed, over a scripted engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sglite.request import Request
from sglite.server.front import Front
from tests.server.asgi import events
from tests.server.fake_engine import embedded_tokenizer
from tests.server.openai_calls import CHAT, USER, chat, post, refused, with_server

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]
CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
OTHER_CALL = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
THINKING = {"chat_template_kwargs": {"enable_thinking": True}}


def says(answer: str, body: dict[str, Any]) -> Any:
    """The engine answers the chat of this body so."""
    tokenizer = embedded_tokenizer()
    shown = None if body.get("tool_choice") == "none" else body.get("tools")
    kwargs = body.get("chat_template_kwargs")
    prompt = tokenizer.encode_chat(USER, tools=shown, template_kwargs=kwargs)
    ids = [*tokenizer.encode(answer, add_special_tokens=False), min(tokenizer.eos_token_ids)]
    return lambda front: front.engine.script_ids(prompt, ids)


def whole(answer: str, body: dict[str, Any], **options: Any) -> Any:
    """The one choice of the answer."""
    [choice] = chat(body, says(answer, body), **options)["choices"]
    return choice


def streamed(answer: str, body: dict[str, Any], **options: Any) -> list[Any]:
    """The choices of the events."""
    body = {"messages": USER, "stream": True, **body}
    response = post(CHAT, body, says(answer, body), **options)
    assert response.status_code == 200, response.text
    *values, done = events(response.text)
    assert done == "[DONE]"
    return [value["choices"][0] for value in values]


def joined(choices: list[Any]) -> dict[str, Any]:
    """The message that the deltas of a stream make."""
    message: dict[str, Any] = {"content": "", "reasoning": "", "reasoning_content": "", "calls": []}
    for choice in choices:
        delta = choice["delta"]
        for name in ("content", "reasoning", "reasoning_content"):
            message[name] += delta.get(name) or ""
        for call in delta.get("tool_calls", []):
            if "id" in call:
                assert call["index"] == len(message["calls"]) and call["type"] == "function"
                assert call["function"]["arguments"] == ""
                message["calls"].append([call["function"]["name"], ""])
            message["calls"][call["index"]][1] += call["function"]["arguments"]
    return message


# -- calls -----------------------------------------------------------------------------------------


def test_a_call_is_read_from_the_answer():
    choice = whole(CALL, {"tools": TOOLS})
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert message["content"] is None
    [call] = message["tool_calls"]
    assert call.pop("id").startswith("call_")
    assert call == {
        "index": 0,
        "type": "function",
        "function": {"name": "f", "arguments": '{"a": 1}'},
    }


def test_words_beside_calls_stay():
    message = whole(f"I look.\n{CALL}\n{OTHER_CALL}", {"tools": TOOLS})["message"]
    assert message["content"].strip() == "I look."
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ['{"a": 1}', "{}"]
    assert len({call["id"] for call in message["tool_calls"]}) == 2


def test_streamed_calls_are_the_whole_ones():
    choices = streamed(f"I look.\n{CALL}\n{OTHER_CALL}", {"tools": TOOLS})
    message = joined(choices)
    assert message["content"].strip() == "I look."
    assert message["calls"] == [["f", '{"a": 1}'], ["f", "{}"]]
    assert choices[-1]["delta"] == {} and choices[-1]["finish_reason"] == "tool_calls"
    assert all(choice["finish_reason"] is None for choice in choices[:-1])


def test_an_answer_without_calls_is_text():
    assert "tool_calls" not in whole("Hello", {"tools": TOOLS})["message"]
    choices = streamed("Hello", {"tools": TOOLS})
    assert joined(choices)["content"] == "Hello" and choices[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("body", "options"),
    [
        ({}, {}),
        ({"tools": TOOLS, "tool_choice": "none"}, {}),
        ({"tools": TOOLS}, {"tool_call_parser": "none"}),
    ],
)
def test_calls_are_text_where_there_are_no_tools_or_no_format(body, options):
    choice = whole(CALL, body, **options)
    assert choice["message"]["content"] == CALL and choice["finish_reason"] == "stop"


def test_an_answer_that_breaks_off_in_a_call_says_length():
    choice = whole(CALL, {"tools": TOOLS, "max_tokens": 16})
    assert choice["finish_reason"] == "length"


def request_of(body: dict[str, Any], **options: Any) -> Request:
    async def use(http: Any, front: Front) -> Any:
        answer = await http.post(CHAT, json={"messages": USER, "max_tokens": 2, **body})
        assert answer.status_code == 200, answer.text
        return front.engine.requests[0]

    return with_server(use, **options)


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "f"}}], ids=["any", "named"]
)
def test_a_call_may_be_demanded(choice):
    grammar = request_of({"tools": TOOLS, "tool_choice": choice}).sampling.grammar
    assert grammar.kind == "structural_tag"
    assert json.loads(grammar.text)["type"] == "structural_tag" and '"a"' in grammar.text
    assert request_of({"tools": TOOLS}).sampling.grammar is None


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_tools_and_another_grammar_are_a_400(choice):
    body = {"tools": TOOLS, "tool_choice": choice, "response_format": {"type": "json_object"}}
    error = refused(CHAT, body)
    assert error["param"] == "response_format" and "tool" in error["message"]
    assert request_of({**body, "tool_choice": "none"}).sampling.grammar.kind == "json_schema"


def test_marks_that_are_special_tokens_are_shown_to_the_parser(monkeypatch):
    hidden = frozenset({0, 1, 2, 5, 6})
    monkeypatch.setattr(embedded_tokenizer(), "special_token_ids", hidden)
    assert whole(CALL, {"tools": TOOLS})["finish_reason"] == "tool_calls"


# -- thoughts --------------------------------------------------------------------------------------


def test_thoughts_are_told_from_the_answer():
    answer = chat(THINKING, says("hm, yes\n</think>\n\nYes", THINKING))
    message = answer["choices"][0]["message"]
    assert message["content"] == "Yes"
    assert message["reasoning_content"] == message["reasoning"] == "hm, yes"
    count = len(embedded_tokenizer().encode("hm, yes\n</think>"))
    assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": count}
    assert answer["usage"]["reasoning_tokens"] == count


def test_streamed_thoughts_are_the_whole_ones():
    choices = streamed("hm, yes\n</think>\n\nYes", THINKING)
    message = joined(choices)
    assert message["content"] == "Yes"
    assert message["reasoning_content"] == message["reasoning"] == "hm, yes"
    assert sum("reasoning" in choice["delta"] for choice in choices) > 1


def test_thoughts_may_come_in_one_piece_or_not_at_all_or_stay():
    text = "hm, yes\n</think>\n\nYes"
    choices = streamed(text, {**THINKING, "stream_reasoning": False})
    assert sum("reasoning" in choice["delta"] for choice in choices) == 1
    assert joined(choices)["reasoning"] == "hm, yes"
    choices = streamed(text, {**THINKING, "include_reasoning": False})
    assert joined(choices)["reasoning"] == "" and joined(choices)["content"] == "Yes"
    message = whole(text, {**THINKING, "include_reasoning": False})["message"]
    assert message["reasoning"] is None and message["content"] == "Yes"
    message = whole(text, {**THINKING, "separate_reasoning": False})["message"]
    assert message["reasoning"] is None and message["content"] == text
    message = whole(text, THINKING, reasoning_parser="none")["message"]
    assert message["reasoning"] is None and message["content"] == text


def test_thoughts_come_before_calls():
    body = {**THINKING, "tools": TOOLS}
    message = whole(f"hm\n</think>\n\n{CALL}", body)["message"]
    assert message["reasoning"] == "hm" and message["content"] is None
    assert len(message["tool_calls"]) == 1


def test_the_engine_knows_how_thoughts_are_told():
    assert request_of(THINKING).thinking.is_open
    assert not request_of({}).thinking.is_open
    off = request_of({"reasoning_effort": "none", "response_format": {"type": "json_object"}})
    assert off.thinking is None
    assert request_of({}, reasoning_parser="none").thinking is None


@pytest.mark.parametrize(
    "body",
    [
        {"max_thinking_tokens": 5},
        {"thinking_token_budget": 5},
        {"thinking": {"type": "enabled", "budget_tokens": 5}},
    ],
)
def test_thoughts_have_a_budget(body):
    assert request_of(body).sampling.max_thinking_tokens == 5
    error = refused(CHAT, body, reasoning_parser="none")
    assert error["param"] == "max_thinking_tokens"


def test_what_the_template_does_not_know_is_listed():
    assert chat({"max_tokens": 1, "reasoning_effort": "high"})["ignored_fields"] == [
        "reasoning_effort"
    ]


# -- log-probabilities -----------------------------------------------------------------------------


def test_logprobs_are_those_of_all_tokens():
    text = f"hm\n</think>\n\nI look.\n{CALL}"
    body = {**THINKING, "tools": TOOLS, "logprobs": True}
    count = len(embedded_tokenizer().encode(text)) + 1
    assert len(whole(text, body)["logprobs"]["content"]) == count
    told = [choice["logprobs"] for choice in streamed(text, body)]
    assert sum(len(each["content"]) for each in told if each) == count
