"""What the workloads ask: the same token ids for every engine, in plain Python.

Lengths depend on nothing; the token *contents* depend on ``salt``, so that a repetition cannot hit
the prefix cache that the one before has filled. Ids are drawn from 256 up to 4,000: valid in every
vocabulary of 4,000 tokens and more, and clear of special tokens. Answers are greedy, ignore the end
of text and have exactly the length asked for.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

LOWEST_ID, HIGHEST_ID = 256, 4000
WARM_UP_SALT = 1000

W3_SHARED = 768
W6_SHARED = 512
W7_SHARED = 2048


class Ask(NamedTuple):
    """A prompt and how many tokens to answer with."""

    token_ids: list[int]
    num_new_tokens: int


Turns = list[list[Ask]]
"""Turns, one after the other, of sessions that ask together. What a session was asked and answered
before comes before its ``token_ids``."""


class Kind(Enum):
    """What of a workload is timed."""

    COLD = "from the start of the process to the first token"
    DECODE = "a token after the first"
    PREFILL = "to the first token"
    BATCH = "all of it"


@dataclass(frozen=True, slots=True)
class Workload:
    """``write(salt, shrink)`` gives the turns; ``num_shared`` tokens start the prompts of all."""

    name: str
    title: str
    kind: Kind
    write: Callable[[int, int], Turns]
    num_shared: int = 0


def write_single(salt: int, shrink: int = 1) -> Turns:
    """W1: 128 tokens in, 128 out, alone. W0 has the same prompt."""
    ids = _draw(random.Random(f"w1-{salt}"), _part(128, shrink))
    return [[Ask(ids, _part(128, shrink))]]


def write_cold(salt: int, shrink: int = 1) -> Turns:
    """W0: the prompt of W1 and its first token."""
    ((ask,),) = write_single(salt, shrink)
    return [[Ask(ask.token_ids, 1)]]


def batch_lengths() -> tuple[list[int], list[int]]:
    """Tokens in and out of the 32 requests of W2."""
    lengths = random.Random(0)
    num_in = [lengths.randint(64, 512) for _ in range(32)]
    return num_in, [lengths.randint(32, 128) for _ in range(32)]


def write_batch(salt: int, shrink: int = 1) -> Turns:
    """W2: 32 requests of mixed lengths."""
    contents = random.Random(f"w2-{salt}")
    pairs = zip(*batch_lengths(), strict=True)
    return [[Ask(_draw(contents, _part(i, shrink)), _part(o, shrink)) for i, o in pairs]]


def write_shared(salt: int, shrink: int = 1) -> Turns:
    """W3: 32 requests with a common start of 768 tokens, 32 of their own, 32 out."""
    contents = random.Random(f"w3-{salt}")
    shared = _draw(contents, _part(W3_SHARED, shrink))
    own, new = _part(32, shrink), _part(32, shrink)
    return [[Ask(shared + _draw(contents, own), new) for _ in range(32)]]


def write_long(salt: int, shrink: int = 1) -> Turns:
    """W4: a prompt of 2,048 tokens."""
    return [[Ask(_draw(random.Random(f"w4-{salt}"), _part(2048, shrink)), 1)]]


def write_chats(salt: int, shrink: int = 1) -> Turns:
    """W6: 8 chats of 4 turns behind one system prompt of 512 tokens; 64 in and 64 out a turn."""
    contents = random.Random(f"w6-{salt}")
    system = _draw(contents, _part(W6_SHARED, shrink))
    size = _part(64, shrink)
    turns = [[Ask(_draw(contents, size), size) for _ in range(8)] for _ in range(4)]
    turns[0] = [Ask(system + ask.token_ids, size) for ask in turns[0]]
    return turns


def write_long_shared(salt: int, shrink: int = 1) -> Turns:
    """W7: 32 requests with a common start of 2,048 tokens, 16 of their own, 96 out."""
    contents = random.Random(f"w7-{salt}")
    shared = _draw(contents, _part(W7_SHARED, shrink))
    own, new = _part(16, shrink), _part(96, shrink)
    return [[Ask(shared + _draw(contents, own), new) for _ in range(32)]]


def _draw(source: random.Random, count: int) -> list[int]:
    return [source.randrange(LOWEST_ID, HIGHEST_ID) for _ in range(count)]


def _part(length: int, shrink: int) -> int:
    return -(-length // shrink)


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("W0", "cold start to first token", Kind.COLD, write_cold),
        Workload("W1", "single stream", Kind.DECODE, write_single),
        Workload("W2", "batch", Kind.BATCH, write_batch),
        Workload("W3", "shared prefix", Kind.BATCH, write_shared, W3_SHARED),
        Workload("W4", "long prompt", Kind.PREFILL, write_long),
        Workload("W6", "chats", Kind.BATCH, write_chats, W6_SHARED),
        Workload("W7", "long shared prefix", Kind.BATCH, write_long_shared, W7_SHARED),
    )
}


def num_tokens(turns: Turns) -> tuple[int, int]:
    """Tokens of all prompts, with what was said before in them, and of all answers."""
    num_in = num_out = 0
    said = [0] * len(turns[0])
    for turn in turns:
        for session, ask in enumerate(turn):
            num_in += said[session] + len(ask.token_ids)
            num_out += ask.num_new_tokens
            said[session] += len(ask.token_ids) + ask.num_new_tokens
    return num_in, num_out


def longest_sequence(turns: Turns) -> int:
    """Tokens of the longest sequence, prompt and answer: the context that an engine needs."""
    sessions = zip(*turns, strict=True)
    return max(sum(len(ask.token_ids) + ask.num_new_tokens for ask in each) for each in sessions)
