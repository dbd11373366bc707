"""Conversations to prompts and token ids.

Nothing here holds up the event loop or trusts a template's time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sglite.errors import RequestError
from sglite.server.prompt_encoding import MAX_CHARACTERS_PER_TOKEN, off_loop

if TYPE_CHECKING:
    from sglite.server.front import Front
    from sglite.tokenizer import Tokenizer


async def encode_chat(
    front: Front, messages: Any, *, tools: Any = None, **options: Any
) -> list[int]:
    """Token ids of a conversation as it came; as :func:`render_chat`, which gives its text."""
    return await encode_rendered(front, await render_chat(front, messages, tools=tools, **options))


async def encode_rendered(front: Front, prompt: str) -> list[int]:
    """Token ids of what :func:`render_chat` gave."""
    tokenizer = _tokenizer(front)
    return await off_loop(lambda: tokenizer.encode_rendered(prompt), size=len(prompt))


async def render_chat(front: Front, messages: Any, *, tools: Any = None, **options: Any) -> str:
    """The prompt of a conversation as it came; ``options`` are those of ``Tokenizer.plan_chat``.

    Raises RequestError naming the field, also where the template takes too long.
    """
    tokenizer = _tokenizer(front)
    size = num_characters(messages)
    longest = front.limits.context_length * MAX_CHARACTERS_PER_TOKEN
    if size > longest:
        raise RequestError(
            f"messages have {size:,} characters; this engine fits "
            f"{front.limits.context_length:,} tokens, and chats of more than {longest:,} "
            "characters are refused unread",
            param="messages",
        )
    chat = tokenizer.plan_chat(messages, tools=tools, **options)
    if front.renderer is not None:
        return await front.renderer.render(chat)
    return await off_loop(lambda: tokenizer.render_planned(chat), size=size + num_characters(tools))


def _tokenizer(front: Front) -> Tokenizer:
    if front.tokenizer is None:
        raise RequestError(
            "messages are text, and skip_tokenizer_init is set; send token ids to /v1/completions",
            param="messages",
        )
    return front.tokenizer


def num_characters(value: object) -> int:
    """Characters of all strings in a JSON value, whose depth is bounded; 8 per other item."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(num_characters, value))
    if isinstance(value, dict):
        return sum(map(num_characters, value.values()))
    return 8
