"""Tokenising and back over HTTP is what the tokenizer does, within bounds."""

from __future__ import annotations

import asyncio

import pytest

from sglite.server.app import build_app
from sglite.server.native import tokenize as tokenize_routes
from sglite.server.native.tokenize import MAX_TEXTS, MAX_TOKENS
from tests.server.asgi import client
from tests.server.fake_engine import embedded_tokenizer, make_front

CHAT = [{"role": "user", "content": "Hi"}]


def post(path, body, **options):
    async def main():
        front = make_front(**options)
        async with client(build_app(front, [tokenize_routes])) as http:
            return await http.post(path, json=body)

    return asyncio.run(main())


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_there_and_back(prefix):
    ids = embedded_tokenizer().encode("Hello there")
    answer = post(f"{prefix}/tokenize", {"prompt": "Hello there", "model": "x"}).json()
    assert answer == {"tokens": ids, "count": 2, "max_model_len": 1024}
    assert post(f"{prefix}/detokenize", {"tokens": ids}).json() == {"text": "Hello there"}


def test_batches_answer_with_lists():
    answer = post("/tokenize", {"prompt": ["Hello there", ""]}).json()
    assert answer["count"] == [2, 0]
    assert post("/detokenize", {"tokens": [*answer["tokens"], [40]]}).json() == {
        "text": ["Hello there", "", embedded_tokenizer().decode([40])]
    }


def test_chats_go_through_the_template():
    tokenizer = embedded_tokenizer()
    answer = post("/tokenize", {"messages": CHAT}).json()
    assert answer["tokens"] == tokenizer.encode_chat(CHAT)
    assert answer["prompt"] == tokenizer.render_chat(CHAT)
    bare = post("/tokenize", {"messages": CHAT, "add_generation_prompt": False}).json()["tokens"]
    assert bare == tokenizer.encode_chat(CHAT, add_generation_prompt=False)


def test_long_texts_are_the_same_in_a_thread():
    text = "Hello there " * 1000
    ids = post("/tokenize", {"prompt": text}).json()["tokens"]
    assert ids == embedded_tokenizer().encode(text)
    assert post("/detokenize", {"tokens": ids}).json()["text"] == text
    chat = [{"role": "user", "content": text}]
    assert post("/tokenize", {"messages": chat}).json()["count"] > 2000


def test_special_tokens_are_left_out_unless_asked_for():
    eos = min(embedded_tokenizer().eos_token_ids)
    assert post("/detokenize", {"tokens": [eos]}).json()["text"] == ""
    shown = post("/detokenize", {"tokens": [eos], "skip_special_tokens": False}).json()["text"]
    assert shown == embedded_tokenizer().token(eos)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": CHAT}, "prompt"),
        ("/tokenize", {"prompt": 5}, "prompt"),
        ("/tokenize", {"prompt": ["a", 5]}, "prompt"),
        ("/tokenize", {"prompt": ["a"] * (MAX_TEXTS + 1)}, "prompt"),
        ("/tokenize", {"prompt": "a" * 70_000}, "prompt"),
        ("/tokenize", {"prompt": "a", "add_special_tokens": 1}, "add_special_tokens"),
        ("/tokenize", {"messages": "x"}, "messages"),
        ("/tokenize", {"messages": CHAT, "chat_template_kwargs": []}, "chat_template_kwargs"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": "1"}, "tokens"),
        ("/detokenize", {"tokens": [1.5]}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens"),
        ("/detokenize", {"tokens": [10**20]}, "tokens"),
        ("/detokenize", {"tokens": [True]}, "tokens"),
        ("/detokenize", {"tokens": [[1], 2]}, "tokens"),
        ("/detokenize", {"tokens": [[]] * (MAX_TEXTS + 1)}, "tokens"),
        ("/detokenize", {"tokens": [40] * (MAX_TOKENS + 1)}, "tokens"),
        ("/detokenize", {"tokens": [1], "skip_special_tokens": "x"}, "skip_special_tokens"),
    ],
)
def test_bad_bodies_are_400_and_name_the_field(path, body, param):
    response = post(path, body)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


def test_without_a_tokenizer_there_is_nothing_to_ask():
    for path, body in (("/tokenize", {"prompt": "a"}), ("/detokenize", {"tokens": [5]})):
        assert post(path, body, skip_tokenizer_init=True).status_code == 400
