"""Each API is asked in its own words, and its events mean the same."""

from __future__ import annotations

import pytest

from sglite.bench.load.dialects import DIALECTS, Question, Said
from sglite.errors import RemoteError

HISTORY = (("user", "a"), ("assistant", "b"))


def test_native_takes_ids_or_text():
    native = DIALECTS["sglang"]
    assert native.body(Question([1, 2], 5)) == {
        "input_ids": [1, 2],
        "sampling_params": {"temperature": 0.0, "max_new_tokens": 5, "ignore_eos": True},
        "stream": True,
    }
    body = native.body(Question("c", 5, HISTORY, ignores_eos=False))
    assert body["text"] == "a\nb\nc"
    assert "ignore_eos" not in body["sampling_params"]


def test_openai_routes_take_a_prompt_or_messages():
    body = DIALECTS["openai"].body(Question([1, 2], 5, model="m"))
    assert (body["prompt"], body["model"], body["max_tokens"]) == ([1, 2], "m", 5)
    assert body["ignore_eos"] is True
    assert body["stream_options"] == {"include_usage": True}
    chat = DIALECTS["openai-chat"].body(Question("c", 5, HISTORY, ignores_eos=False))
    assert [(each["role"], each["content"]) for each in chat["messages"]] == [
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
    ]
    assert "ignore_eos" not in chat


def native_event(text, count, ids=None, finish=None):
    meta = {"completion_tokens": count, "prompt_tokens": 4, "cached_tokens": 2}
    event = {"text": text, "meta_info": meta | {"finish_reason": finish}}
    return event | ({} if ids is None else {"output_ids": ids})


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (native_event("abcd", 3, [1, 2, 3]), "cd"),
        (native_event("cd", 3, [3]), "cd"),
        (native_event("abcd", 3), "cd"),
    ],
    ids=["cumulative", "incremental", "without-ids"],
)
def test_native_text_is_what_is_new_in_both_manners(event, text):
    said = DIALECTS["sglang"].read(event, "ab")
    assert said == Said(text, 3, 4, 2, is_last=False)


def test_native_end_is_seen():
    event = native_event("ab", 2, [1, 2], {"type": "length", "length": 2})
    assert DIALECTS["sglang"].read(event, "ab").is_last


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"choices": [{"text": "x", "finish_reason": None}]}, Said("x")),
        ({"choices": [{"delta": {"content": "x"}}]}, Said("x")),
        ({"choices": [{"delta": {"reasoning_content": "x", "content": None}}]}, Said("x")),
        ({"choices": [{"delta": {"role": "assistant"}}]}, Said()),
        ({"choices": [{"text": "", "finish_reason": "length"}]}, Said(is_last=True)),
        (
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": 3,
                    "completion_tokens": 5,
                    "prompt_tokens_details": {"cached_tokens": 1},
                },
            },
            Said("", 5, 3, 1),
        ),
        ({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}, Said("", 5, 3)),
    ],
)
def test_openai_events(event, said):
    assert DIALECTS["openai"].read(event, "before") == said


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_an_error_event_is_an_error(name):
    with pytest.raises(RemoteError, match="no room"):
        DIALECTS[name].read({"error": {"message": "no room"}}, "")
