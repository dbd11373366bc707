"""Tells what scheduler and cache do, step by step: what ``--log-level debug`` prints.

step 3: r1 decodes at 42 · r0 prefills 16..32, then samples (2 wait, room for 64 prompt tokens)
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
                    f"{event.request_id} arrives: {event.num_prompt_tokens} prompt tokens, "
                    f"up to {event.max_new_tokens} new"
                )
            case ev.Admitted():
                rest = event.num_tokens - event.num_cached_tokens
                return (
                    f"{event.request_id} gets row {event.row} after {event.waited_s:.3f} s: "
                    f"{event.num_cached_tokens} of {event.num_tokens} tokens are cached, "
                    f"{rest} to compute"
                )
            case ev.HeldBack():
                return f"{event.request_id} waits: {event.reason}"
            case ev.Inserted():
                return (
                    f"{event.request_id}: {_pages(event.num_pages)} new in the prefix cache, "
                    f"{event.num_duplicates} were there already"
                )
            case ev.Evicted():
                return f"cache: {_pages(event.num_pages)} evicted ({event.reason})"
            case ev.Retracted():
                return (
                    f"{event.request_id} goes back to the queue with {event.num_tokens} tokens: "
                    f"{event.reason}"
                )
            case ev.Finished():
                return (
                    f"{event.request_id} ends ({event.reason}): {event.num_prompt_tokens} prompt "
                    f"tokens, {event.num_cached_tokens} cached, {event.num_output_tokens} new"
                )
            case ev.Flushed():
                return f"cache: flushed, {_pages(event.num_pages)}"
        return self._step_sentence(event)

    def _step_sentence(self, event: ev.Event) -> str:
        match event:
            case ev.Stepped():
                runs = " · ".join(_run(*run) for run in event.runs)
                room = "any number of" if event.chunk_budget >= UNLIMITED else event.chunk_budget
                return (
                    f"step {event.step_id}: {runs} ({event.num_waiting} wait, room for {room} "
                    "prompt tokens)"
                )
            case ev.Committed():
                tokens = " ".join(f"{name}→{self._token(token)}" for name, token in event.tokens)
                took = f"step {event.step_id} took {event.elapsed_s * 1000:.1f} ms"
                return f"{took}: {tokens}" if tokens else took
        return ""

    def _token(self, token_id: int) -> str:
        if self._tokenizer is None:
            return str(token_id)
        return f"{token_id}{self._tokenizer.piece(token_id)!r}"


def _pages(count: int) -> str:
    return "1 page" if count == 1 else f"{count} pages"


def _run(request_id: str, start: int, length: int, samples: bool) -> str:
    if length == 1 and samples:
        return f"{request_id} decodes at {start}"
    return f"{request_id} prefills {start}..{start + length}" + (", then samples" * samples)
