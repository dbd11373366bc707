"""All questions at once to an engine, greedily, and what came back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sglite.errors import ConfigError, RequestError
from sglite.evaluation.instances import GUIDE, Instance, Questions
from sglite.evaluation.scoring import is_right
from sglite.request import FinishReason, SamplingParams

if TYPE_CHECKING:
    from sglite.call_options import Sampling
    from sglite.generation import Generation
    from sglite.llm import LLM
    from sglite.tokenizer import Tokenizer

NUM_SPARE_TOKENS = 32
"""Tokens beyond those of a right answer, so that a wrong one shows where it goes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One instance, what the model made of it, and the verdict."""

    instance: Instance
    generation: Generation
    is_right: bool


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers in the order of the instances, and the seconds that they took together."""

    answers: list[Answer]
    wall_s: float

    @property
    def num_tokens(self) -> int:
        """Output tokens of all answers."""
        return sum(answer.generation.num_output_tokens for answer in self.answers)

    @property
    def tokens_per_s(self) -> float:
        """Output tokens per second of wall time."""
        return self.num_tokens / max(self.wall_s, 1e-9)


def answer_all(llm: LLM, questions: Questions) -> Answers:
    """Ask everything in one batch; on a terminal, a bar shows how far it is.

    Raises ConfigError where a prompt does not fit the model, naming the line.
    """
    if llm.tokenizer is None:
        raise ConfigError("the questions are texts; eval needs the model's tokenizer")
    context_length = llm.config.context_length or llm.spec.context_length
    prompts: list[list[int]] = []
    sampling: list[Sampling] = []
    for instance in questions.instances:
        label = f"{questions.path} line {instance.line}"
        prompt = _encode(llm.tokenizer, instance.prompt, label=label)
        # One place is left, so that a second model can read prompt and answer.
        room = context_length - len(prompt) - 1
        if room < 1:
            raise ConfigError(
                f"{label}: the prompt has {len(prompt):,} tokens, which leaves no room for an "
                f"answer in a context of {context_length:,}"
            )
        prompts.append(prompt)
        sampling.append(_greedy(min(room, max_answer_tokens(instance, questions))))
    start_s = time.monotonic()
    generations = llm.generate(prompts, sampling)
    wall_s = time.monotonic() - start_s
    assert isinstance(generations, list), "a list of prompts gives a list of generations"
    pairs = zip(questions.instances, generations, strict=True)
    return Answers([_judged(*pair, questions) for pair in pairs], wall_s)


def max_answer_tokens(instance: Instance, questions: Questions) -> int:
    """What a right answer can have, one token per byte and the end token, and some to spare."""
    is_guided = instance.kind == GUIDE
    texts = questions.guide[instance.answer] if is_guided else (instance.answer,)
    return max(len(text.encode()) for text in texts) + 1 + NUM_SPARE_TOKENS


def _judged(instance: Instance, generation: Generation, questions: Questions) -> Answer:
    ended = generation.finish_reason is FinishReason.STOP
    verdict = ended and is_right(instance, generation.text, questions.guide)
    return Answer(instance, generation, verdict)


def _greedy(max_new_tokens: int) -> SamplingParams:
    """Special tokens within an answer are a part of it, so they are shown."""
    return SamplingParams(temperature=0.0, max_new_tokens=max_new_tokens, skip_special_tokens=False)


def _encode(tokenizer: Tokenizer, text: str, *, label: str) -> list[int]:
    try:
        return tokenizer.encode(text, add_special_tokens=False)
    except RequestError as error:
        raise ConfigError(f"{label}: prompt: {error}") from error
