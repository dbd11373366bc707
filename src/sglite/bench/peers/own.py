"""sglite itself, as an engine to compare: ``LLM`` with the options of its command line."""

from __future__ import annotations

import time
from typing import Any

import sglite


class Peer:
    """``options`` are keywords of ``LLM``."""

    def __init__(self, model: str | None, **options: Any) -> None:
        from sglite.llm import LLM  # and torch with it: part of a cold start

        self._llm = LLM(model, **options)
        self.version = f"sglite {sglite.__version__}"

    def batch(self, requests: list[tuple[list[int], int]]) -> list[list[int]]:
        """The greedy tokens of each ``(prompt, number of new tokens)``."""
        prompts = [list(prompt) for prompt, _ in requests]
        params = [_greedy(count) for _, count in requests]
        done = self._llm.generate(prompts, params, show_progress=False)
        assert isinstance(done, list), "several prompts give a list"
        return [generation.token_ids for generation in done]

    def stream(self, prompt: list[int], count: int) -> tuple[float, float, list[int]]:
        """Seconds to the first token, seconds in all, and the tokens."""
        start_s = time.perf_counter()
        first_s = 0.0
        output: list[int] = []
        for chunk in self._llm.stream(prompt, _greedy(count)):
            if chunk.token_ids and not output:
                first_s = time.perf_counter() - start_s
            output += chunk.token_ids
        return first_s, time.perf_counter() - start_s, output

    def close(self) -> None:
        """End the engine."""
        self._llm.close()


def _greedy(count: int) -> Any:
    from sglite.request import SamplingParams

    return SamplingParams(temperature=0.0, max_new_tokens=count, ignore_eos=True)
