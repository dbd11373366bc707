from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from sglite.models.generation_config import GenerationDefaults
from sglite.server.front import Front
from sglite.server.openai.chat import chat_defaults
from tests.server.fake_engine import embedded_tokenizer, make_front
from tests.server.openai_calls import CHAT, USER, chat, refused, with_server


def answers(text: str, messages: list[dict[str, Any]] | None = None) -> Any:
    """Scripts the engine to answer a conversation."""

    def prepare(front: Front) -> None:
        tokenizer = embedded_tokenizer()
        prompt_ids = tokenizer.encode_chat(messages or USER)
        ids = tokenizer.encode(text, add_special_tokens=False)
        front.engine.script_ids(prompt_ids, [*ids, min(tokenizer.eos_token_ids)])

    return prepare


def prompt_of(body: dict[str, Any], **options: Any) -> str:
    """The prompt that the engine got for a chat."""

    async def use(http: httpx.AsyncClient, front: Front) -> str:
        answer = await http.post(CHAT, json={"messages": USER, "max_tokens": 1, **body})
        assert answer.status_code == 200, answer.text
        ids = front.engine.requests[-1].prompt_token_ids
        return front.tokenizer.decode(ids, skip_special_tokens=False)

    prompt = with_server(use, **options)
    assert isinstance(prompt, str)
    return prompt


def test_the_body_has_everything_a_client_may_read():
    answer = chat({"model": "m"}, answers("Hello there"))
    assert answer.pop("id").startswith("chatcmpl-")
    assert answer.pop("created") > 1_700_000_000
    num_prompt = len(embedded_tokenizer().encode_chat(USER))
    num_output = len(embedded_tokenizer().encode("Hello there")) + 1
    assert answer == {
        "object": "chat.completion",
        "model": "m",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello there",
                    "refusal": None,
                    "reasoning_content": None,
                    "reasoning": None,
                },
                "logprobs": None,
                "finish_reason": "stop",
                "matched_stop": min(embedded_tokenizer().eos_token_ids),
                "stop_reason": None,
            }
        ],
        "usage": {
            "prompt_tokens": num_prompt,
            "completion_tokens": num_output,
            "total_tokens": num_prompt + num_output,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
            "reasoning_tokens": 0,
        },
        "metadata": {"weight_version": "default"},
    }


def test_unset_the_answer_may_fill_the_context():
    answer = chat({"ignore_eos": True})
    assert answer["usage"]["total_tokens"] == 1024
    assert answer["choices"][0]["finish_reason"] == "length"


def test_max_completion_tokens_wins_over_max_tokens():
    body = {"max_completion_tokens": 3, "max_tokens": 7, "ignore_eos": True}
    assert chat(body)["usage"]["completion_tokens"] == 3
    assert chat({"max_tokens": 7, "ignore_eos": True})["usage"]["completion_tokens"] == 7
    error = refused(CHAT, {"max_completion_tokens": 5000, "max_tokens": 7})
    assert error["param"] == "max_completion_tokens"
    assert "max_completion_tokens (5,000)" in error["message"]
    for value in ("1", True, -1, 1.5, 2**31, [], {}):
        error = refused(CHAT, {"max_completion_tokens": value})
        assert error["param"] == "max_completion_tokens"


def test_n_answers_come_in_order():
    answer = chat({"n": 3, "max_tokens": 2}, answers("Yes"))
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["prompt_tokens"] == len(embedded_tokenizer().encode_chat(USER))
    assert answer["usage"]["completion_tokens"] == 6


def test_the_models_values_hold_where_the_call_has_none():
    async def run() -> Any:
        front = make_front()
        front.generation_defaults = GenerationDefaults(temperature=0.6, top_k=20, top_p=0.95)
        return chat_defaults(front)

    defaults = asyncio.run(run())
    assert (defaults.temperature, defaults.top_k, defaults.top_p) == (0.6, 20, 0.95)
    assert defaults.max_new_tokens is None and defaults.min_p == 0.0

    async def use(http: httpx.AsyncClient, front: Front) -> list[float]:
        for body in ({}, {"temperature": 0.9}, {"temperature": None}):
            await http.post(CHAT, json={"messages": USER, "max_tokens": 1, **body})
        return [request.sampling.temperature for request in front.engine.requests]

    assert with_server(use) == [0.0, 0.9, 0.0]


# -- the conversation ------------------------------------------------------------------------------


def test_every_role_reaches_the_template():
    roles = ["system", "user", "assistant", "tool", "user"]
    prompt = prompt_of({"messages": [{"role": role, "content": f"<{role}>"} for role in roles]})
    contents = {"tool": "<tool_response>\n<tool>\n</tool_response>"}
    names = {"tool": "user"}  # the template shows a tool's result in a user's turn
    shown = "".join(
        f"<|im_start|>{names.get(role, role)}\n{contents.get(role, f'<{role}>')}<|im_end|>\n"
        for role in roles
    )
    assert prompt == shown + "<|im_start|>assistant\n"


def test_developer_is_system_where_the_template_does_not_know_it():
    messages = [{"role": "developer", "content": "be nice"}, *USER]
    assert prompt_of({"messages": messages}).startswith("<|im_start|>system\nbe nice<|im_end|>")


def test_text_parts_are_joined_and_other_parts_refused():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    prompt = prompt_of({"messages": [{"role": "user", "content": parts}]})
    assert "user\na\nb<|im_end|>" in prompt
    for kind in ("image_url", "input_audio", "video_url", "file"):
        parts = [{"type": kind, kind: {"url": "http://127.0.0.1/"}}]
        error = refused(CHAT, {"messages": [{"role": "user", "content": parts}]})
        assert error["param"] == "messages[0].content[0]" and kind in error["message"]


BAD_MESSAGES: list[Any] = [
    None, "", "hi", 5, True, {}, [], [5], ["hi"], [[]], [{}], [{"role": "user"}],
    [{"role": "pirate", "content": "x"}], [{"role": 5, "content": "x"}], [{"content": "x"}],
    [{"role": "user", "content": None}], [{"role": "user", "content": 5}],
    [{"role": "user", "content": {}}], [{"role": "user", "content": [5]}],
    [{"role": "user", "content": [{"type": "text", "text": 5}]}],
    [{"role": "user", "content": "word " * 3000}], [{"role": "user", "content": "x" * (1 << 20)}],
    [{"role": "user", "content": "x"}] * 10_001,
]  # fmt: skip


def test_bad_messages_are_a_400_that_names_them():
    async def use(http: httpx.AsyncClient, front: Front) -> None:
        for messages in BAD_MESSAGES:
            answer = await http.post(CHAT, json={"messages": messages})
            assert answer.status_code == 400, (str(messages)[:60], answer.text)
            assert answer.json()["error"]["param"].startswith("messages"), answer.text
        assert (await http.post(CHAT, json={})).json()["error"]["param"] == "messages"
        assert not front.engine.requests

    with_server(use)


def test_the_last_message_can_be_continued():
    messages = [*USER, {"role": "assistant", "content": "The answer is"}]
    prompt = prompt_of({"messages": messages, "continue_final_message": True})
    assert prompt.endswith("<|im_start|>assistant\nThe answer is")
    both = {"continue_final_message": True, "add_generation_prompt": True}
    assert refused(CHAT, {"messages": messages, **both})["param"] == "add_generation_prompt"


def test_the_generation_prompt_can_be_left_out():
    assert prompt_of({"add_generation_prompt": False}).endswith("Hi<|im_end|>\n")


def test_template_kwargs_are_checked():
    prompt_of({"chat_template_kwargs": {"enable_thinking": False}})
    for kwargs in ({"messages": 1}, {"a": []}, {"1": 1}, [], "x", 5, {"x_token": "a"}):
        error = refused(CHAT, {"chat_template_kwargs": kwargs})
        assert error["param"] == "chat_template_kwargs"


def test_a_template_never_comes_from_a_call():
    assert refused(CHAT, {"chat_template": "{{ 1 }}"})["param"] == "chat_template"


def test_without_a_tokenizer_there_is_no_chat():
    error = refused(CHAT, {}, skip_tokenizer_init=True)
    assert error["param"] == "messages" and "/v1/completions" in error["message"]


# -- what belongs to later work --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("functions", [{"name": "f"}]),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "x"}),
        ("documents", [{"text": "x"}]),
        ("web_search_options", {"a": 1}),
        ("prediction", {"content": "x"}),
        ("echo", True),
        ("best_of", 2),
    ],
)
def test_fields_of_chats_that_do_not_work_yet_are_named(field, value):
    assert refused(CHAT, {field: value})["param"] == field


def test_defaults_of_unsupported_fields_pass():
    harmless = {
        "modalities": ["text"],
        "separate_reasoning": True,
        "stream_reasoning": True,
        "functions": [],
        "function_call": "none",
        "audio": None,
        "store": False,
        "verbosity": "medium",
    }
    assert "ignored_fields" not in chat({**harmless, "max_tokens": 1})


# -- log-probabilities -----------------------------------------------------------------------------


def test_logprobs_have_bytes_and_alternatives():
    [choice] = chat({"logprobs": True, "top_logprobs": 2}, answers("Hello"))["choices"]
    content = choice["logprobs"]["content"]
    assert len(content) == len(embedded_tokenizer().encode("Hello")) + 1
    spelled = b"".join(bytes(each["bytes"]) for each in content[:-1])
    assert spelled.decode() == "Hello"
    assert all(each["logprob"] == -0.5 and len(each["top_logprobs"]) == 2 for each in content)
    assert set(content[0]["top_logprobs"][0]) == {"token", "bytes", "logprob"}


def test_logprobs_without_alternatives():
    [choice] = chat({"logprobs": True}, answers("Hello"))["choices"]
    assert choice["logprobs"]["content"][0]["top_logprobs"] == []


def test_top_logprobs_need_logprobs():
    assert refused(CHAT, {"top_logprobs": 1})["param"] == "top_logprobs"
    assert refused(CHAT, {"logprobs": False, "top_logprobs": 1})["param"] == "top_logprobs"
    chat({"logprobs": False, "top_logprobs": 0, "max_tokens": 1})
    for value in (-1, 21, 1.5, True, "1", [], {}):
        error = refused(CHAT, {"logprobs": True, "top_logprobs": value})
        assert error["param"] == "top_logprobs"
    for value in (0, 1, "true", [], {}):
        assert refused(CHAT, {"logprobs": value})["param"] == "logprobs"
