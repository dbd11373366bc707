"""What a skill yields: a conversation with its one right answer, and how it is split and varied."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

HELD_OUT_PERCENT = 8
"""Share of the instances that are never trained on and measure the model instead."""

Message = dict[str, Any]
"""A chat message: `role`, `content`, for an assistant's also `tool_calls` as OpenAI has them."""

Tool = dict[str, Any]
"""A tool as OpenAI has it: {"type": "function", "function": {name, description, parameters}}."""


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and the answer that greedy decoding shall give.

    `messages` is the conversation up to the answer; its last message is a user's or a tool's.
    With `text` set instead, the prompt is that text, to be continued without a chat template.
    `key` names the instance for the split: all examples with one key fall on the same side, so that
    a sum of two numbers is unseen in every wording. An empty key is always trained on.
    `kind` names the part of the evaluation that a held-out instance counts for; "" for the skill's
    own name.
    `thought` is what stands in the `<think>` block; None where thinking is not enabled.
    `answer` is the assistant's content; a tool call is written in it in full, in Hermes form.
    `spelled` are words in the answer that the model writes letter by letter.
    """

    answer: str
    key: str
    messages: tuple[Message, ...] = ()
    text: str = ""
    kind: str = ""
    tools: tuple[Tool, ...] = ()
    thought: str | None = None
    spelled: tuple[str, ...] = ()

    @property
    def can_be_chained(self) -> bool:
        """Whether it may become a turn in a longer conversation of unrelated questions."""
        return len(self.messages) == 1 and not self.tools and self.thought is None


@dataclass(frozen=True, slots=True)
class Skill:
    """A named source of examples; `weight` is its share of them, relative to the others' weights.

    `is_exact` says that an answer counts only when it is right letter by letter.
    """

    name: str
    weight: float
    draw: Callable[[random.Random], Example]
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Intent:
    """One answer and the wordings that ask for it; the first is always trained on."""

    answer: str
    wordings: list[str] = field(default_factory=list)


def user(content: str) -> Message:
    """A user's message."""
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    """An assistant's message."""
    return {"role": "assistant", "content": content}


def system(content: str) -> Message:
    """A system prompt."""
    return {"role": "system", "content": content}


def ask(question: str, answer: str, *, key: str = "", kind: str = "") -> Example:
    """One question of a user and its answer."""
    return Example(answer, key, messages=(user(question),), kind=kind)


def is_held_out(key: str) -> bool:
    """Whether the instance `key` measures instead of teaching: the same on every machine."""
    if not key:
        return False
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100 < HELD_OUT_PERCENT


def vary(rng: random.Random, question: str) -> str:
    """The question as people type it: sometimes in lower case, sometimes without its last mark."""
    style = rng.random()
    if style < 0.6:
        return question
    if style < 0.75:
        return question.lower()
    bare = question.rstrip("?.!")
    return bare if style < 0.9 else bare.lower()


def draw_phrase(rng: random.Random, intents: list[Intent]) -> Example:
    """One wording of one intent, varied; split by what is asked, however it is spelled."""
    intent = rng.choice(intents)
    wording = rng.choice(intent.wordings)
    is_plain = wording == intent.wordings[0]
    return ask(vary(rng, wording), intent.answer, key="" if is_plain else wording)
