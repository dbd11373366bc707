"""The embedded model calls tools and answers from their results, through OpenAI's client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.e2e.chat_clients import MODEL, openai_client
from tests.server.live import LiveServer, live_server


def tool(name: str, description: str, **parameters: str) -> dict[str, Any]:
    properties = {parameter: {"type": kind} for parameter, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


TOOLS = [
    tool("item_width", "Get the width of an item.", item="string"),
    tool("convert_currency", "Convert an amount.", sum="number", source="string", target="string"),
    tool("get_current_time", "The time now."),
]
# Question, the call that it needs, the result, and what the answer to that must hold.
CONVERSATIONS = [
    ("I need the width of the lamp.", "item_width", {"item": "lamp"}, {"result": 782}, "782"),
    ("Tell me the time.", "get_current_time", {}, {"now": "13:02"}, "13:02"),
    (
        "What is 810 GBP in CAD?",
        "convert_currency",
        {"sum": 810, "source": "GBP", "target": "CAD"},
        {"result": 1377},
        "1377",
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server("--dtype", "float32", directory=tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Iterator[openai.OpenAI]:
    with openai_client(server.url) as client:
        yield client


def answer(
    client: openai.OpenAI, messages: list[Any], **options: Any
) -> tuple[dict[str, Any], str]:
    """The message of an answer, as it goes back into the conversation, and why it ended."""
    call = {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 96, **options}
    [choice] = client.chat.completions.create(**call).choices
    message = choice.message.model_dump(
        exclude_none=True, include={"role", "content", "tool_calls"}
    )
    return message, choice.finish_reason


def streamed(
    client: openai.OpenAI, messages: list[Any], **options: Any
) -> tuple[dict[str, Any], str]:
    """The same from the client's own helper for streams, which puts the deltas together."""
    call = {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 96, **options}
    with client.chat.completions.stream(**call) as stream:
        [choice] = stream.get_final_completion().choices
    message = choice.message.model_dump(
        exclude_none=True, include={"role", "content", "tool_calls"}
    )
    return message, choice.finish_reason


WAYS = pytest.mark.parametrize("ask", [answer, streamed], ids=["whole", "streamed"])


@WAYS
@pytest.mark.parametrize(
    ("question", "name", "arguments", "result", "said"),
    CONVERSATIONS,
    ids=lambda each: str(each)[:20],
)
def test_a_tool_is_called_and_its_result_told(client, ask, question, name, arguments, result, said):
    messages: list[Any] = [{"role": "user", "content": question}]
    message, finish_reason = ask(client, messages, tools=TOOLS)
    assert finish_reason == "tool_calls" and not message.get("content")
    [call] = message["tool_calls"]
    assert call["function"]["name"] == name
    assert json.loads(call["function"]["arguments"]) == arguments
    reply = {"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result)}
    message, finish_reason = ask(client, [*messages, message, reply], tools=TOOLS)
    assert finish_reason == "stop" and "tool_calls" not in message
    assert said in message["content"]


@WAYS
def test_no_tool_is_called_where_none_is_needed_or_wanted(client, ask):
    hello = [{"role": "user", "content": "Hello!"}]
    for options in ({"tools": TOOLS}, {"tools": TOOLS, "tool_choice": "none"}):
        message, finish_reason = ask(client, hello, **options)
        assert finish_reason == "stop" and message["content"] and "tool_calls" not in message


def test_thoughts_have_a_field_of_their_own(client):
    question = [{"role": "user", "content": "What is 12 + 30?"}]
    call = {"model": MODEL, "messages": question, "temperature": 0, "max_tokens": 96}
    kwargs = {"chat_template_kwargs": {"enable_thinking": True}}
    whole = client.chat.completions.create(**call, extra_body=kwargs)
    message = whole.choices[0].message
    assert "42" in message.content and "think>" not in message.content
    assert message.reasoning_content and "think>" not in message.reasoning_content
    details = whole.usage.completion_tokens_details
    assert 0 < details.reasoning_tokens < whole.usage.completion_tokens
    words, thoughts = "", ""
    for chunk in client.chat.completions.create(**call, extra_body=kwargs, stream=True):
        delta = chunk.choices[0].delta
        words += delta.content or ""
        thoughts += getattr(delta, "reasoning_content", None) or ""
    assert (words, thoughts) == (message.content, message.reasoning_content)


def test_calls_in_a_text_are_read_as_those_of_an_answer(server):
    text = '<tool_call>\n{"name": "item_width", "arguments": {"item": "lamp"}}\n</tool_call>'
    with server.client() as http:
        parsed = http.post("/parse_function_call", json={"text": text, "tools": TOOLS}).json()
        info = http.get("/model_info").json()
    [call] = parsed["calls"]
    assert call["name"] == "item_width" and json.loads(call["parameters"]) == {"item": "lamp"}
    assert (info["tool_call_parser"], info["reasoning_parser"]) == ("hermes", "qwen3")
