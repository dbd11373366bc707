"""Ways to ask a chat through OpenAI's API, with clients that people use and others wrote.

Each function takes the address of a server and a conversation, asks greedily and gives a
:class:`Reply`, so that one test holds for all of them. The clients that are not among the
developers' tools are imported when they are asked, and their tests skipped where they are missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import openai
import pytest

from sglite.generation import Generation

MODEL = "embedded"
MAX_TOKENS = 24
OFFLINE_GREEDY = {"temperature": 0.0, "max_new_tokens": MAX_TOKENS}
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": MAX_TOKENS}
STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}

Messages = list[dict[str, str]]


class Reply(NamedTuple):
    """What a client shows of an answer: its text, why it ended, and the tokens it counts."""

    text: str
    finish_reason: str
    num_prompt_tokens: int
    num_output_tokens: int
    num_total_tokens: int


Ask = Callable[[str, Messages], Reply]


def offline_reply(answer: Generation) -> Reply:
    """What ``LLM`` answers, in the same words."""
    counts = answer.num_prompt_tokens, answer.num_output_tokens
    return Reply(answer.text, answer.finish_reason.value, *counts, sum(counts))


def _reply(text: str, finish_reason: str | None, usage: Any) -> Reply:
    assert finish_reason is not None, "nothing said why the answer ended"
    assert usage is not None, "nothing counted the tokens"
    counts = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    assert 0 <= usage.prompt_tokens_details.cached_tokens < usage.prompt_tokens
    return Reply(text, finish_reason, *counts)


def _whole(answer: Any) -> Reply:
    [choice] = answer.choices
    return _reply(choice.message.content, choice.finish_reason, answer.usage)


def _joined(chunks: Iterable[Any]) -> Reply:
    text, finish_reason, usage = "", None, None
    for chunk in chunks:
        usage = getattr(chunk, "usage", None) or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish_reason = choice.finish_reason or finish_reason
    return _reply(text, finish_reason, usage)


# -- openai ----------------------------------------------------------------------------------------


def openai_client(url: str) -> openai.OpenAI:
    """OpenAI's client of the server at ``url``; close it."""
    return openai.OpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0)


def openai_whole(url: str, messages: Messages) -> Reply:
    """``openai``, one body."""
    with openai_client(url) as client:
        return _whole(client.chat.completions.create(model=MODEL, messages=messages, **GREEDY))


def openai_streamed(url: str, messages: Messages) -> Reply:
    """``openai``, a stream with usage at its end."""
    with openai_client(url) as client:
        call = client.chat.completions.create
        return _joined(call(model=MODEL, messages=messages, **GREEDY, **STREAMED))


def openai_async(url: str, messages: Messages) -> Reply:
    """``openai`` with asyncio: one body and a stream side by side, which are equal."""

    async def ask() -> tuple[Reply, Reply]:
        async with openai.AsyncOpenAI(
            api_key="none", base_url=f"{url}/v1", max_retries=0
        ) as client:
            call = client.chat.completions.create
            whole, stream = await asyncio.gather(
                call(model=MODEL, messages=messages, **GREEDY),
                call(model=MODEL, messages=messages, **GREEDY, **STREAMED),
            )
            return _whole(whole), _joined([chunk async for chunk in stream])

    whole, streamed = asyncio.run(ask())
    assert whole == streamed
    return whole


# -- langchain-openai ------------------------------------------------------------------------------


def langchain_chat(url: str) -> Any:
    """LangChain's chat model over the server at ``url``."""
    langchain = pytest.importorskip("langchain_openai")
    return langchain.ChatOpenAI(
        model=MODEL,
        base_url=f"{url}/v1",
        api_key="none",
        temperature=0,
        max_tokens=MAX_TOKENS,
        max_retries=0,
        stream_usage=True,
    )


def langchain_reply(message: Any) -> Reply:
    """The reply in one of LangChain's messages, or in the sum of a stream's chunks."""
    usage = message.usage_metadata
    counts = [usage[f"{name}_tokens"] for name in ("input", "output", "total")]
    assert 0 <= usage["input_token_details"]["cache_read"] < counts[0]
    return Reply(message.content, message.response_metadata["finish_reason"], *counts)


def langchain_invoked(url: str, messages: Messages) -> Reply:
    """``langchain-openai``, one body."""
    return langchain_reply(langchain_chat(url).invoke(messages))


def langchain_streamed(url: str, messages: Messages) -> Reply:
    """``langchain-openai``, a stream."""
    first, *rest = langchain_chat(url).stream(messages)
    return langchain_reply(sum(rest, first))


# -- litellm ---------------------------------------------------------------------------------------


def litellm_call(url: str, **options: Any) -> dict[str, Any]:
    """The arguments of litellm's calls for an OpenAI-compatible server."""
    return {"model": f"openai/{MODEL}", "api_base": f"{url}/v1", "api_key": "none", **options}


def litellm_whole(url: str, messages: Messages) -> Reply:
    """``litellm.completion``, one body."""
    litellm = pytest.importorskip("litellm")
    return _whole(litellm.completion(**litellm_call(url, messages=messages, **GREEDY)))


def litellm_streamed(url: str, messages: Messages) -> Reply:
    """``litellm.completion``, a stream."""
    litellm = pytest.importorskip("litellm")
    return _joined(litellm.completion(**litellm_call(url, messages=messages, **GREEDY, **STREAMED)))


def litellm_async(url: str, messages: Messages) -> Reply:
    """``litellm.acompletion``: one body and a stream side by side, which are equal."""
    litellm = pytest.importorskip("litellm")

    async def ask() -> tuple[Reply, Reply]:
        call = litellm_call(url, messages=messages, **GREEDY)
        whole, stream = await asyncio.gather(
            litellm.acompletion(**call), litellm.acompletion(**call, **STREAMED)
        )
        return _whole(whole), _joined([chunk async for chunk in stream])

    whole, streamed = asyncio.run(ask())
    assert whole == streamed
    return whole


CHAT_CLIENTS: tuple[Ask, ...] = (
    openai_whole,
    openai_streamed,
    openai_async,
    langchain_invoked,
    langchain_streamed,
    litellm_whole,
    litellm_streamed,
    litellm_async,
)
