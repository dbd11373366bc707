"""An engine that answers from a table, one character per token, and scores what it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sglite.config import EngineConfig
from sglite.evaluation.answering import Answer, Answers
from sglite.evaluation.instances import Instance
from sglite.request import FinishReason, SamplingParams, TokenLogprobs
from tests.cli.fakes import FakeGeneration


class CharacterTokenizer:
    """A token per character."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens, "the prompt has its special tokens"
        return [ord(letter) for letter in text]


@dataclass
class ScriptedLLM:
    """``script`` maps prompts to answers. ``best`` gives the token it likes most after some,
    ``logprob`` the score of what stands in a place."""

    script: dict[str, str] = field(default_factory=dict)
    config: EngineConfig = field(default_factory=EngineConfig)
    best: Callable[[Sequence[int]], int] = lambda token_ids: ord("a")
    logprob: Callable[[int], float] = lambda place: -1.0
    finish_reason: FinishReason = FinishReason.STOP
    context_length: int = 1000
    vocab_size: int = 0x110000
    is_open: bool = True

    def __post_init__(self) -> None:
        self.tokenizer: CharacterTokenizer | None = CharacterTokenizer()
        self.spec = SimpleNamespace(vocab_size=self.vocab_size, context_length=self.context_length)
        self.sampling: list[SamplingParams] = []

    def __enter__(self) -> ScriptedLLM:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False

    def generate(self, prompts: list[list[int]], sampling: Any, **options: Any) -> Any:
        if "logprob_start_len" in options:
            assert options.pop("top_logprobs_num", 1) == 1
            assert options == {"return_logprob": True, "logprob_start_len": 0}
            return [self._read(prompt) for prompt in prompts]
        self.sampling = sampling
        texts = [self.script["".join(map(chr, prompt))] for prompt in prompts]
        return [
            generation(text, prompt, self.finish_reason)
            for text, prompt in zip(texts, prompts, strict=True)
        ]

    def _read(self, token_ids: list[int]) -> FakeGeneration:
        entries = [TokenLogprobs(token_ids[0], None)]
        for place in range(1, len(token_ids)):
            top = ((self.best(token_ids[:place]), -0.1),)
            entries.append(TokenLogprobs(token_ids[place], self.logprob(place), top))
        return FakeGeneration("", [], token_ids, prompt_logprobs=entries)


def generation(
    text: str, prompt: Sequence[int] = (1,), reason: FinishReason = FinishReason.STOP
) -> FakeGeneration:
    """An answer of one token per character."""
    return FakeGeneration(
        text, [ord(letter) for letter in text], list(prompt), finish_reason=reason
    )


def instance(
    kind: str = "sums", prompt: str = "1+1=", answer: str = "2", line: int = 1
) -> Instance:
    """An instance with what the test does not care about filled in."""
    return Instance(line=line, kind=kind, prompt=prompt, answer=answer)


def answers(*rows: tuple[str, str, bool], wall_s: float = 2.0) -> Answers:
    """Answers from (kind, text, is right)."""
    made = [
        Answer(instance(kind, line=line), generation(text), verdict)
        for line, (kind, text, verdict) in enumerate(rows, 1)
    ]
    return Answers(made, wall_s)


def write_lines(path: Path, *rows: str) -> Path:
    """Write a file of lines."""
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path
