import json

import pytest

from sglite.router_server.call_view import DEFAULT_NEW_TOKENS, MAX_TOKENS, view_call

SYSTEM = {"role": "system", "content": "Be brief. " * 60}


def view(body, headers=()):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return view_call("1", data, list(headers))


def shared_blocks(first, second):
    """How many blocks of the prompts' beginnings are the same."""
    pairs = zip(view(first).prefix_hashes(), view(second).prefix_hashes(), strict=False)
    return sum(one == other for one, other in pairs)


def chat(question, **fields):
    return {"messages": [SYSTEM, {"role": "user", "content": question}], **fields}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"text": "a" * 600 + "b"}, {"text": "a" * 600 + "c"}),
        ({"text": ["a" * 600, "x"]}, {"text": "a" * 600}),
        ({"prompt": "a" * 600}, {"prompt": ["a" * 600]}),
        ({"input_ids": [7] * 400}, {"input_ids": [7] * 400 + [8]}),
        ({"input_ids": [[7] * 400, [8]]}, {"input_ids": [7] * 400}),
        (chat("Hi"), chat("Hello there")),
        (chat("Hi"), {"messages": [*chat("Hi")["messages"], SYSTEM]}),
    ],
)
def test_prompts_with_one_beginning_share_their_first_hashes(first, second):
    assert shared_blocks(first, second) >= 4


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"text": "a" * 600}, {"text": "b" + "a" * 600}),
        ({"text": "a" * 600}, {"text": "a" * 600, "cache_salt": "mine"}),
        ({"text": "a" * 600, "extra_key": "x"}, {"text": "a" * 600, "extra_key": "y"}),
        (chat("Hi"), chat("Hi", tools=[{"type": "function"}])),
    ],
)
def test_other_prompts_and_other_namespaces_share_nothing(first, second):
    assert shared_blocks(first, second) == 0


def test_templates_write_the_tools_before_the_messages():
    tools = [{"type": "function", "function": {"name": "n" * 600}}]
    assert shared_blocks(chat("Hi", tools=tools), {"tools": tools, "messages": []}) >= 4


@pytest.mark.parametrize(
    ("fields", "num_new_tokens"),
    [
        ({}, DEFAULT_NEW_TOKENS),
        ({"max_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 9),
        ({"sampling_params": {"max_new_tokens": 3}}, 3),
        ({"sampling_params": [{"max_new_tokens": 3}]}, DEFAULT_NEW_TOKENS),
        ({"max_tokens": True}, DEFAULT_NEW_TOKENS),
        ({"max_tokens": -1}, DEFAULT_NEW_TOKENS),
        ({"max_tokens": 10**30}, DEFAULT_NEW_TOKENS),
    ],
)
def test_load_is_the_length_of_the_body_and_of_the_answer(fields, num_new_tokens):
    body = json.dumps(fields).encode()
    assert view(body).num_tokens == len(body) // 4 + num_new_tokens


def test_load_of_one_call_is_bounded():
    assert view({"max_tokens": MAX_TOKENS, "text": "a" * 100}).num_tokens == MAX_TOKENS


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b"{", b"\xff", b"[" * 5000, b'{"messages": {"a": 1}}']
)
def test_bodies_that_are_no_prompts_are_routed_all_the_same(body):
    seen = view(body)
    assert seen.num_tokens >= DEFAULT_NEW_TOKENS and isinstance(seen.prefix_hashes(), list)


def test_prompts_of_any_kind_of_value_are_read():
    for value in (1, [None], [[]], {"a": []}, "\ud800", ["\ud800"], [1.5, "x"], True):
        for name in ("text", "messages", "input_ids", "tools"):
            view(json.dumps({name: value}).encode()).prefix_hashes()


def test_session_is_the_headers_then_the_users_and_has_a_fixed_length():
    by_header = view({"user": "b"}, [(b"x-session-id", b"a")]).session
    assert by_header == view({}, [(b"x-session-id", b"a")]).session
    assert by_header == view({"user": "a"}).session != view({"user": "b" * 10_000}).session
    assert len(view({"user": "b" * 10_000}).session) == len(by_header)
    assert view({"user": 1}).session is view({}).session is view({"user": ""}).session is None
