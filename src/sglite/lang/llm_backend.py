"""Programs over an ``LLM`` in this process."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from sglite.errors import RequestError
from sglite.generation import Generation
from sglite.lang.backend import Answer, Piece, Prompt, checked_meta_info
from sglite.request import SamplingParams

if TYPE_CHECKING:
    from sglite.llm import LLM
    from sglite.tokenizer import Tokenizer


class LLMBackend:
    """A :class:`~sglite.lang.backend.Backend`; closing the LLM fails what still runs.

    Raises RequestError where the LLM has no tokenizer.
    """

    def __init__(self, llm: LLM) -> None:
        if llm.tokenizer is None:
            raise RequestError("programs are text, and skip_tokenizer_init is set")
        self._llm = llm
        self._tokenizer: Tokenizer = llm.tokenizer

    def generate(
        self, prompt: Prompt, sampling: dict[str, Any], options: dict[str, Any]
    ) -> list[Answer]:
        """The n answers."""
        done = self._llm.generate(self._ids(prompt), sampling, show_progress=False, **options)
        answers = done if isinstance(done, list) else [done]
        return [Answer(each.text, self._meta_info(each)) for each in answers]

    def stream(
        self, prompt: Prompt, sampling: dict[str, Any], options: dict[str, Any]
    ) -> Generator[Piece, None, None]:
        """The answer in pieces."""
        with closing(self._llm.stream(self._ids(prompt), sampling, **options)) as chunks:
            for chunk in chunks:
                done = chunk.finished
                yield Piece(chunk.text, None if done is None else self._meta_info(done))

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[list[int]]:
        """Token ids of each text."""
        return self._tokenizer.encode_batch(texts, add_special_tokens=add_special_tokens)

    def prompt_logprobs(
        self, sequences: list[list[int]], start_len: int
    ) -> list[list[float | None]]:
        """Log-probabilities of the tokens from ``start_len`` on."""
        nothing_more = SamplingParams(max_new_tokens=0, temperature=0.0)
        done = self._llm.generate(
            sequences, nothing_more, logprob_start_len=start_len, show_progress=False
        )
        assert isinstance(done, list)
        for generation in done:
            self._meta_info(generation)
        return [[entry.logprob for entry in each.prompt_logprobs or []] for each in done]

    def render(self, messages: list[dict[str, Any]], add_generation_prompt: bool) -> str:
        """The text of a conversation."""
        return self._tokenizer.render_chat(messages, add_generation_prompt=add_generation_prompt)

    def _ids(self, prompt: Prompt) -> list[int]:
        return self._tokenizer.encode(prompt.text, add_special_tokens=not prompt.is_rendered)

    def _meta_info(self, generation: Generation) -> dict[str, Any]:
        meta_info: dict[str, Any] = generation.to_sglang(self._tokenizer)["meta_info"]
        return checked_meta_info(meta_info)
