"""What is asked of a server: sessions of one turn or several.

Prompts of random tokens have the length asked for exactly, where the server takes token ids. For a
chat they are words, about one token each; how long they were is in the server's ``usage``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sglite.errors import ConfigError

Content = str | list[int]

FIRST_TOKEN_ID = 16
"""Below it lie, in most vocabularies, the special tokens."""

WORDS = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work night point"
).split()


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt and how many tokens to answer with."""

    content: Content
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Session:
    """Turns of one user, one after the other; each has what was said before in its prompt.

    ``arrival_s`` is from the start of the load, where the workload itself says when.
    """

    turns: tuple[Turn, ...]
    arrival_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lengths:
    """Sizes of generated workloads, in tokens. Lengths are drawn from ``range_ratio`` x to x."""

    num_sessions: int = 100
    input_len: int = 256
    output_len: int = 64
    range_ratio: float = 1.0
    prefix_len: int = 256
    num_prefixes: int = 4
    num_turns: int = 4
    vocab_size: int = 1000


class Writer:
    """Draws prompts: token ids, or words where ``as_text``."""

    def __init__(self, lengths: Lengths, *, seed: int, as_text: bool) -> None:
        self.lengths = lengths
        self.as_text = as_text
        self._random = random.Random(seed)

    def content(self, length: int) -> Content:
        """``length`` tokens, or words."""
        if self.as_text:
            return self.text(length)
        last = max(self.lengths.vocab_size, FIRST_TOKEN_ID + 1)
        return [self._random.randrange(FIRST_TOKEN_ID, last) for _ in range(length)]

    def text(self, length: int) -> str:
        """``length`` words."""
        return " ".join(self._random.choices(WORDS, k=length))

    def length(self, most: int) -> int:
        """A length up to ``most``, at least 1."""
        return self._random.randint(max(1, int(most * self.lengths.range_ratio)), max(1, most))

    def pick(self, choices: list[Content]) -> Content:
        """One of ``choices``."""
        return self._random.choice(choices)


def random_sessions(writer: Writer) -> list[Session]:
    """Prompts that share nothing."""
    lengths = writer.lengths
    return [
        Session((_turn(writer, writer.content(writer.length(lengths.input_len))),))
        for _ in range(lengths.num_sessions)
    ]


def shared_prefix_sessions(writer: Writer) -> list[Session]:
    """Prompts that begin with one of a few prefixes, as those with a system prompt do."""
    lengths = writer.lengths
    prefixes = [writer.content(lengths.prefix_len) for _ in range(lengths.num_prefixes)]
    sessions = []
    for _ in range(lengths.num_sessions):
        own = writer.content(writer.length(lengths.input_len))
        sessions.append(Session((_turn(writer, joined(writer.pick(prefixes), own)),)))
    return sessions


def multi_turn_sessions(writer: Writer) -> list[Session]:
    """Conversations. They are text: the answers become part of the next prompt."""
    lengths = writer.lengths
    return [
        Session(
            tuple(
                _turn(writer, writer.text(writer.length(lengths.input_len)))
                for _ in range(lengths.num_turns)
            )
        )
        for _ in range(lengths.num_sessions)
    ]


GENERATED: dict[str, Callable[[Writer], list[Session]]] = {
    "random": random_sessions,
    "shared-prefix": shared_prefix_sessions,
    "multi-turn": multi_turn_sessions,
}


def joined(before: Content, after: Content) -> Content:
    """One prompt after another; both are of one kind."""
    if isinstance(before, list) and isinstance(after, list):
        return before + after
    return f"{before} {after}"


def read_trace(path: Path, writer: Writer) -> list[Session]:
    """Sessions of a file of JSON lines, in the order of their arrival.

    A line has ``arrival_s``, ``max_tokens`` and either ``prompt`` (text or token ids) or
    ``prompt_tokens`` (a number: so many random tokens). Raises ConfigError.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    sessions = [
        _traced(line, writer, f"{path}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not sessions:
        raise ConfigError(f"{path} is empty; write one JSON object per line")
    return sorted(sessions, key=lambda session: session.arrival_s or 0.0)


def _traced(line: str, writer: Writer, where: str) -> Session:
    try:
        entry = json.loads(line)
        arrival_s, max_tokens = float(entry["arrival_s"]), int(entry["max_tokens"])
        content = _traced_content(entry, writer)
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{where}: give an object with arrival_s, max_tokens and prompt or prompt_tokens "
            f"({type(error).__name__}: {error})"
        ) from error
    if arrival_s < 0 or max_tokens < 1:
        raise ConfigError(f"{where}: arrival_s is at least 0 and max_tokens at least 1")
    return Session((Turn(content, max_tokens),), arrival_s)


def _traced_content(entry: dict[str, Any], writer: Writer) -> Content:
    prompt = entry.get("prompt")
    if prompt is None:
        return writer.content(max(1, int(entry["prompt_tokens"])))
    if isinstance(prompt, list) and prompt and all(type(each) is int for each in prompt):
        return prompt
    if isinstance(prompt, str):
        return prompt
    raise TypeError("prompt is neither text nor token ids")


def _turn(writer: Writer, content: Content) -> Turn:
    return Turn(content, writer.length(writer.lengths.output_len))
