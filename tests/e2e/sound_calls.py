"""Fifty calls that every server answers with 200, over all routes that take a body."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.http_calls import Call, request

JsonObject = dict[str, Any]

SHORT = {"max_new_tokens": 2}
LONG_TEXT = "The quick brown fox jumps over the lazy dog and runs away from all of them. " * 3
USER = {"role": "user", "content": "Hi"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
TOOL_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
}

GENERATE: list[JsonObject] = [
    {"text": "Hello", "sampling_params": SHORT},
    {"input_ids": [5, 6, 7], "sampling_params": SHORT},
    {"text": ["Hello", "one two"], "sampling_params": [SHORT, {"max_new_tokens": 1}]},
    {"input_ids": [[5, 6], [7]], "sampling_params": SHORT, "stream": True},
    {"text": "Hello", "sampling_params": SHORT, "stream": True},
    {
        "text": "Hello there",
        "sampling_params": SHORT,
        "return_logprob": True,
        "logprob_start_len": 0,
        "top_logprobs_num": 2,
        "token_ids_logprob": [5, 6],
        "return_text_in_logprobs": True,
    },
    {
        "text": "Hello",
        "sampling_params": {
            "max_new_tokens": 2,
            "n": 2,
            "temperature": 0.8,
            "top_p": 0.9,
            "top_k": 20,
            "min_p": 0.05,
            "sampling_seed": 7,
        },
    },
    {
        "text": "Hello",
        "sampling_params": {
            "max_new_tokens": 2,
            "frequency_penalty": 0.5,
            "presence_penalty": -0.5,
            "repetition_penalty": 1.1,
            "logit_bias": {"5": 1.5},
        },
    },
    {
        "text": "Hello",
        "sampling_params": {
            "max_new_tokens": 2,
            "stop": ["x", "y z"],
            "stop_regex": "[0-9]{2}",
            "stop_token_ids": [9],
        },
    },
    {
        "text": "Hello",
        "sampling_params": SHORT,
        "rid": "job",
        "priority": 3,
        "cache_salt": "tenant",
        "timeout": 4.5,
    },
    {"text": ["a", "b"], "sampling_params": SHORT, "rid": ["one", "two"], "stream": True},
    {"text": "Hello there", "sampling_params": {"max_new_tokens": 0}, "logprob_start_len": 0},
    {"text": "Hello", "sampling_params": SHORT, "lora_path": None, "new_field": {"a": [1]}},
    {"prompt": "Hello", "max_new_tokens": 2},
    {"prompt": "Hello", "max_new_tokens": 2, "temperature": 0.0, "stop": "x", "stream": True},
]
COMPLETIONS: list[JsonObject] = [
    {"prompt": "Hello", "max_tokens": 2},
    {"prompt": ["Hello", "one two"], "max_tokens": 2, "echo": True, "logprobs": 2},
    {"prompt": [5, 6, 7], "max_tokens": 2},
    {"prompt": [[5, 6], [7]], "max_tokens": 2, "n": 2, "seed": 3},
    {"prompt": "a", "max_tokens": 2, "stream": True, "stream_options": {"include_usage": True}},
    {"prompt": "Hello", "max_tokens": 2, "stop": ["x"], "stop_token_ids": [9], "min_tokens": 1},
    {"prompt": "Hello", "max_tokens": 2, "suffix": None, "best_of": 1, "user": "me"},
    {"prompt": "Hello", "max_tokens": 2, "logit_bias": {"5": -2}, "frequency_penalty": 0.2},
    {"prompt": "Hello there", "max_tokens": 0, "echo": True, "logprobs": 1},
    {"model": "any", "prompt": "Hello", "max_tokens": 2, "top_k": 5, "stream": True},
]
CHAT: list[JsonObject] = [
    {"messages": [USER], "max_tokens": 2},
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            USER,
            {"role": "assistant", "content": "Hello"},
            USER,
        ],
        "max_tokens": 2,
    },
    {"messages": [USER], "max_tokens": 2, "stream": True},
    {"messages": [USER], "max_tokens": 2, "logprobs": True, "top_logprobs": 2, "stream": True},
    {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "max_tokens": 2,
    },
    {"messages": [USER], "max_tokens": 2, "tools": [WEATHER], "tool_choice": "auto"},
    {
        "messages": [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        ],
        "tools": [WEATHER],
        "max_tokens": 2,
    },
    {"messages": [{"role": "developer", "content": "Be brief."}, USER], "max_tokens": 2},
    {
        "messages": [USER, {"role": "assistant", "content": "Hel"}],
        "max_tokens": 2,
        "continue_final_message": True,
        "add_generation_prompt": False,
    },
    {"messages": [USER], "max_completion_tokens": 2, "temperature": 0.5, "seed": 1},
    {
        "messages": [USER],
        "max_tokens": 2,
        "response_format": {"type": "text"},
        "metadata": {"a": "b"},
    },
    {"messages": [USER], "max_tokens": 2, "n": 2, "stop": "x", "rid": "chat"},
]
OTHERS: list[tuple[str, JsonObject]] = [
    ("/tokenize", {"prompt": "Hello there"}),
    ("/tokenize", {"prompt": ["Hello", "there"], "add_special_tokens": False}),
    ("/tokenize", {"messages": [USER], "add_generation_prompt": True}),
    ("/v1/tokenize", {"model": "any", "prompt": "Hello"}),
    ("/detokenize", {"tokens": [5, 6, 7]}),
    ("/detokenize", {"tokens": [[5, 6], [7]], "skip_special_tokens": False}),
    ("/v1/detokenize", {"tokens": [5]}),
    ("/prefix", {"name": "system", "text": LONG_TEXT}),
    ("/prefix", {"name": "ids", "input_ids": list(range(300, 340)), "cache_salt": "tenant"}),
    ("/flush_cache", {}),
    ("/pause_generation", {"mode": "in_place"}),
    ("/continue_generation", {}),
    ("/abort_request", {"rid": "nobody"}),
    ("/abort_request", {"abort_all": False}),
]

BODIES: list[tuple[str, bytes]] = [
    (path, json.dumps(body).encode())
    for path, body in (
        *(("/generate", body) for body in GENERATE),
        *(("/v1/completions", body) for body in COMPLETIONS),
        *(("/v1/chat/completions", body) for body in CHAT),
        *OTHERS,
    )
]


def sound_calls() -> list[Call]:
    """All of them, as calls."""
    return [request(path, body) for path, body in BODIES]
