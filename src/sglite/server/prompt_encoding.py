"""Prompts to token ids without holding up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from sglite.errors import RequestError

if TYPE_CHECKING:
    from sglite.tokenizer import Tokenizer

T = TypeVar("T")

MAX_INLINE_CHARACTERS = 4_096
"""Prompts up to this length are encoded where they are; a thread's turn would take longer."""
MAX_CHARACTERS_PER_TOKEN = 64
"""A prompt of more characters than this times the context cannot be worth encoding."""


async def encode_prompts(
    tokenizer: Tokenizer | None,
    prompts: Sequence[str | Sequence[int]],
    *,
    max_tokens: int,
    field: str,
    add_special_tokens: bool = True,
) -> list[Sequence[int]]:
    """Token ids of each prompt; token ids stay as they are.

    Long texts are encoded in a thread: the library lets the interpreter go meanwhile. Raises
    RequestError naming ``field``, also where a text is so long that no ``max_tokens`` could hold
    it.
    """
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    if not texts:
        return [prompt for prompt in prompts if not isinstance(prompt, str)]
    checked = _text_tokenizer(tokenizer, field)
    longest = max_tokens * MAX_CHARACTERS_PER_TOKEN
    for text in texts:
        if len(text) > longest:
            raise RequestError(
                f"{field} has {len(text):,} characters; this engine fits {max_tokens:,} tokens, "
                f"and texts of more than {longest:,} characters are refused unread",
                param=field,
            )

    def encode() -> list[Sequence[int]]:
        return [
            checked.encode(prompt, add_special_tokens=add_special_tokens)
            if isinstance(prompt, str)
            else prompt
            for prompt in prompts
        ]

    try:
        return await off_loop(encode, size=sum(map(len, texts)))
    except RequestError as error:
        raise RequestError(str(error), param=field) from error


async def off_loop(work: Callable[[], T], *, size: int) -> T:
    """Run ``work`` here, or in a thread where ``size`` characters make it worth one."""
    return work() if size <= MAX_INLINE_CHARACTERS else await asyncio.to_thread(work)


def _text_tokenizer(tokenizer: Tokenizer | None, field: str) -> Tokenizer:
    if tokenizer is None:
        raise RequestError(
            f"{field} is text, and skip_tokenizer_init is set; send input_ids", param=field
        )
    return tokenizer
