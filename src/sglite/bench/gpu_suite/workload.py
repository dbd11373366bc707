"""The benchmark that small engines are compared by: 256 requests of random lengths.

Inputs and outputs are uniform from 100 to 1,024 tokens, drawn with seed 0, in the order in which
the scripts of nano-vllm and mini-sglang draw them; no answer ends early. At full size these are
142,827 tokens in and 133,966 out.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

LARGEST_TOKEN_ID = 10_000


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt, and how many tokens are to follow it."""

    token_ids: list[int]
    num_new_tokens: int


def random_batch(num_requests: int, min_tokens: int, max_tokens: int, *, vocab: int) -> list[Ask]:
    """The requests; token ids stay below ``vocab``."""
    draws = random.Random(0)
    largest = min(LARGEST_TOKEN_ID, vocab - 1)
    prompts = [
        [draws.randint(0, largest) for _ in range(draws.randint(min_tokens, max_tokens))]
        for _ in range(num_requests)
    ]
    return [Ask(prompt, draws.randint(min_tokens, max_tokens)) for prompt in prompts]


def equal_batch(
    num_requests: int, num_tokens: int, num_new: int, *, vocab: int, seed: int = 1
) -> list[Ask]:
    """Requests of one length that share nothing."""
    draws = random.Random(seed)
    largest = min(LARGEST_TOKEN_ID, vocab - 1)
    return [
        Ask([draws.randint(0, largest) for _ in range(num_tokens)], num_new)
        for _ in range(num_requests)
    ]
