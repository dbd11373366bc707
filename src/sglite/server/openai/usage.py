"""The token counts of one call, as OpenAI's ``usage`` has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sglite.generation import OpenGeneration


class UsageMeter:
    """Counts the output tokens that a caller was told of.

    A prompt counts once, whatever its number of samples, and so do its cached tokens: those of its
    first sample, since the others find in the cache what the first one computed. After a retraction
    the cache may hold more than the prompt; the prompt's part counts.
    """

    def __init__(self, opened: Sequence[OpenGeneration], *, samples_per_prompt: int) -> None:
        self._opened = opened
        self._firsts = opened[::samples_per_prompt]
        self._num_output_tokens = 0

    def add(self, num_tokens: int) -> None:
        """Count output tokens."""
        self._num_output_tokens += num_tokens

    @property
    def num_cached_tokens(self) -> int:
        """Prompt tokens that were in the prefix cache; complete once all answers have begun."""
        return sum(
            min(each.num_cached_tokens, len(each.request.prompt_token_ids)) for each in self._firsts
        )

    def to_openai(self) -> dict[str, Any]:
        """The ``usage`` object of what was counted so far."""
        num_reasoning_tokens = sum(each.thoughts.count for each in self._opened)
        num_prompt_tokens = sum(len(each.request.prompt_token_ids) for each in self._firsts)
        return {
            "prompt_tokens": num_prompt_tokens,
            "completion_tokens": self._num_output_tokens,
            "total_tokens": num_prompt_tokens + self._num_output_tokens,
            "prompt_tokens_details": {"cached_tokens": self.num_cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": num_reasoning_tokens},
            "reasoning_tokens": num_reasoning_tokens,
        }

    def cache_details(self) -> dict[str, Any]:
        """SGLang's ``sglext`` object: where the cached tokens lay."""
        details = {"device": self.num_cached_tokens, "host": 0, "storage": 0}
        return {"cached_tokens_details": details}
