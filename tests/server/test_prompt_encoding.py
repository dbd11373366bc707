"""Prompts become ids in their order; long ones in a thread; endless ones are refused unread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from sglite.errors import RequestError
from sglite.server.prompt_encoding import MAX_INLINE_CHARACTERS, encode_prompts


class SpyTokenizer:
    def __init__(self):
        self.threads = set()

    def encode(self, text, *, add_special_tokens=True):
        self.threads.add(threading.current_thread() is threading.main_thread())
        if text == "bad":
            raise RequestError("no such text", param="text")
        return [len(text), int(add_special_tokens)]


def encode(prompts, tokenizer=None, **settings):
    spy = SpyTokenizer() if tokenizer is None else tokenizer
    settings = {"max_tokens": 1000, "field": "field"} | settings
    return asyncio.run(encode_prompts(spy, prompts, **settings)), spy


def test_texts_and_ids_keep_their_order():
    assert encode(["ab", [7, 8], "c"])[0] == [[2, 1], [7, 8], [1, 1]]
    assert encode(["ab"], add_special_tokens=False)[0] == [[2, 0]]


def test_short_texts_stay_and_long_ones_leave_the_event_loop():
    assert encode(["a" * MAX_INLINE_CHARACTERS])[1].threads == {True}
    assert encode(["a" * MAX_INLINE_CHARACTERS, "b"])[1].threads == {False}


def test_errors_name_the_field():
    with pytest.raises(RequestError) as caught:
        encode(["bad"])
    assert caught.value.param == "field"


def test_a_text_that_cannot_fit_is_not_encoded():
    spy = SpyTokenizer()
    with pytest.raises(RequestError, match="refused unread") as caught:
        encode(["a" * 641], spy, max_tokens=10)
    assert caught.value.param == "field"
    assert not spy.threads


def test_text_without_a_tokenizer_is_refused_and_ids_are_not():
    async def both():
        ids = await encode_prompts(None, [[1]], max_tokens=9, field="text")
        assert ids == [[1]]
        with pytest.raises(RequestError, match="skip_tokenizer_init"):
            await encode_prompts(None, ["a"], max_tokens=9, field="text")

    asyncio.run(both())
