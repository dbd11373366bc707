"""Puts prompts to the model, as chat messages or as plain text."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sglite.request import SamplingParams

if TYPE_CHECKING:
    from sglite.generation import Generation, GenerationChunk
    from sglite.llm import LLM

Message = dict[str, Any]


@dataclass(frozen=True)
class Asker:
    """One way to ask: the model, the sampling, and whether prompts are messages of a user."""

    llm: LLM
    sampling: SamplingParams
    is_chat: bool
    system: str | None = None

    def messages(self, prompt: str) -> list[Message]:
        """A conversation of one question."""
        opening = [{"role": "system", "content": self.system}] if self.system else []
        return [*opening, {"role": "user", "content": prompt}]

    def stream(self, prompt: Any, **options: Any) -> Generator[GenerationChunk, None, None]:
        """The answer to one prompt, piece by piece; closing it aborts the request."""
        chunks: Any
        if self.is_chat:
            chunks = self.llm.chat_stream(self.messages(prompt), self.sampling, **options)
        else:
            chunks = self.llm.stream(prompt, self.sampling, **options)
        return chunks

    def answer_all(self, prompts: list[Any], **options: Any) -> list[Generation]:
        """The answers to all prompts in order, those of one prompt side by side."""
        if self.is_chat:
            conversations = [self.messages(prompt) for prompt in prompts]
            answers = self.llm.chat(conversations, self.sampling, **options)
        else:
            answers = self.llm.generate(prompts, self.sampling, **options)
        return answers if isinstance(answers, list) else [answers]
