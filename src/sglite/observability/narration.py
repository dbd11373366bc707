"""Tells what scheduler and cache do, step by step: what ``--log-level debug`` prints.

step 3: r1 decodes token 42 · r0 prefills tokens 16 to 31, then samples (2 requests wait, room for
64 prompt tokens)
"""

from __future__ import annotations

import logging
from typing import Protocol

from sglite.observability import events as ev

logger = logging.getLogger(__name__)

UNLIMITED = 1 << 30
"""A chunk budget from which on nobody counts."""


class Pieces(Protocol):
    """What is needed of a tokenizer to show a token."""

    def piece(self, token_id: int) -> str:
        """The text of one token."""


class Narrator:
    """Logs every event as a sentence, at level DEBUG."""

    def __init__(self, tokenizer: Pieces | None) -> None:
        self._tokenizer = tokenizer

    def __call__(self, event: ev.Event) -> None:
        """Take an event of the stream."""
        sentence = self.sentence(event)
        if sentence:
            logger.debug(sentence)

    def sentence(self, event: ev.Event) -> str:
        """``event`` in words; empty where there is nothing to say."""
        match event:
            case ev.Arrived():
                return (
                    f"{event.request_id} arrives: {_count(event.num_prompt_tokens, 'prompt token')}"
                    f", up to {event.max_new_tokens:,} new"
                )
            case ev.Admitted():
                rest = event.num_tokens - event.num_cached_tokens
                return (
                    f"{event.request_id} gets row {event.row} after {event.waited_s:.3f} s: "
                    f"{event.num_cached_tokens:,} of {_count(event.num_tokens, 'token')} cached, "
                    f"{rest:,} to compute"
                )
            case ev.HeldBack():
                return f"{event.request_id} waits: {event.reason}"
            case ev.Inserted():
                verb = "was" if event.num_duplicates == 1 else "were"
                return (
                    f"{event.request_id}: {_count(event.num_pages, 'page')} new in the prefix "
                    f"cache, {event.num_duplicates:,} {verb} there already"
                )
            case ev.Evicted():
                return f"cache: {_count(event.num_pages, 'page')} evicted ({event.reason})"
            case ev.Retracted():
                return (
                    f"{event.request_id} goes back to the queue with "
                    f"{_count(event.num_tokens, 'token')}: {event.reason}"
                )
            case ev.Finished():
                return (
                    f"{event.request_id} ends ({event.reason}): "
                    f"{_count(event.num_prompt_tokens, 'prompt token')}, "
                    f"{event.num_cached_tokens:,} cached, {event.num_output_tokens:,} new"
                )
            case ev.Flushed():
                return f"cache: flushed, {_count(event.num_pages, 'page')}"
        return self._step_sentence(event)

    def _step_sentence(self, event: ev.Event) -> str:
        match event:
            case ev.Stepped():
                runs = " · ".join(_run(*run) for run in event.runs)
                return f"step {event.step_id}: {runs} ({_surroundings(event)})"
            case ev.Committed():
                tokens = ", ".join(f"{name}: {self._token(token)}" for name, token in event.tokens)
                took = f"step {event.step_id} took {event.elapsed_s * 1000:.1f} ms"
                return f"{took}; {tokens}" if tokens else took
        return ""

    def _token(self, token_id: int) -> str:
        if self._tokenizer is None:
            return str(token_id)
        return f"{self._tokenizer.piece(token_id)!r} ({token_id})"


def _count(number: int, thing: str) -> str:
    return f"1 {thing}" if number == 1 else f"{number:,} {thing}s"


def _surroundings(step: ev.Stepped) -> str:
    """Who waits, and how many prompt tokens the step could have taken in all."""
    room = _count(step.chunk_budget, "prompt token")
    if step.chunk_budget >= UNLIMITED:
        room = "any number of prompt tokens"
    waiting = (
        f"{_count(step.num_waiting, 'request')} {'waits' if step.num_waiting == 1 else 'wait'}"
    )
    return f"{waiting}, room for {room}" if step.num_waiting else f"room for {room}"


def _run(request_id: str, start: int, length: int, samples: bool) -> str:
    if length == 1 and samples:
        return f"{request_id} decodes token {start:,}"
    tokens = f"token {start:,}" if length == 1 else f"tokens {start:,} to {start + length - 1:,}"
    return f"{request_id} prefills {tokens}" + (", then samples" * samples)
