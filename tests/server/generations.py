"""Finished answers for tests of what counts and logs them."""

from __future__ import annotations

from typing import Any

from sglite.generation import Generation, GenerationChunk
from sglite.request import FinishReason


def generation(**changes: Any) -> Generation:
    """An answer of 5 tokens after a prompt of 8, 4 of them cached."""
    values: dict[str, Any] = {
        "request_id": "4c0-0",
        "index": 0,
        "text": "secret answer",
        "token_ids": [1, 2, 3, 4, 5],
        "prompt_token_ids": [9] * 8,
        "finish_reason": FinishReason.STOP,
        "matched": 5,
        "message": None,
        "num_prompt_tokens": 8,
        "num_cached_tokens": 4,
        "num_output_tokens": 5,
        "num_retractions": 0,
        "max_new_tokens": 16,
        "logprobs": None,
        "prompt_logprobs": None,
        "queue_s": 0.01,
        "ttft_s": 0.1,
        "e2e_s": 0.5,
    }
    return Generation(**values | changes)


def chunk(*token_ids: int, index: int = 0, finished: Generation | None = None) -> GenerationChunk:
    """A piece with these tokens."""
    return GenerationChunk(
        request_id="4c0-0", index=index, text="", token_ids=list(token_ids), finished=finished
    )
