"""Where stop strings and regexes end an answer, decided token by token in bounded memory.

Two sides ask. The engine's loop wants a verdict after each token (:class:`StopChecker`); the text
side wants to know what it may show (``text_assembler``). Both feed the same :class:`StopSearch`
with the same pieces of text, so they find the same place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sglite.request import SamplingParams
from sglite.scheduler.plan import StopMatch
from sglite.tokenizer.detokenizer import IncrementalDetokenizer
from sglite.tokenizer.stop_patterns import (
    CHUNK_CHARS,
    StopRegex,
    check_stop_strings,
    compile_stop_regexes,
)

if TYPE_CHECKING:
    from sglite.tokenizer.tokenizer import Tokenizer

CONTEXT_CHARS = 64
"""Text kept before a regex's window, so that ``^``, ``\\b`` and lookbehinds see what precedes."""


@dataclass(frozen=True, slots=True)
class TextMatch:
    """A stop in the text: ``start`` counts characters from the start of the answer."""

    start: int
    matched: str


class StopSearch:
    """Searches a growing text for the earliest stop; keeps the tail that a stop may span.

    After each piece of text, a stop string is found wherever it ends in that piece. A regex is
    searched from ``window - 1`` characters before the piece on, with the text so far as its whole
    text: ``$`` is the end so far. Of several matches the one that begins first wins, then the one
    named first, strings before regexes.
    """

    def __init__(self, stop: tuple[str, ...], stop_regex: tuple[StopRegex, ...] = ()) -> None:
        self._stop = stop
        self._stop_regex = stop_regex
        self._num_before = max((len(text) - 1 for text in stop), default=0)
        for regex in stop_regex:
            self._num_before = max(self._num_before, regex.window - 1 + CONTEXT_CHARS)
        self._tail = ""
        self._tail_start = 0

    def feed(self, text: str, pending_text: str = "") -> TextMatch | None:
        """Append ``text`` and return the first stop in the text so far, if it is there.

        ``pending_text`` is searched too but not kept: it comes again.
        """
        num_old = len(self._tail)
        self._tail += text
        match = self._search(self._tail + pending_text, num_old)
        if match is None:
            self._trim()
        return match

    def num_held(self) -> int:
        """How many of the last characters may belong to a stop that is not complete yet."""
        held = max((_num_started(stop, self._tail) for stop in self._stop), default=0)
        for regex in self._stop_regex:
            held = max(held, min(regex.window - 1, len(self._tail)))
        return held

    def _search(self, text: str, num_old: int) -> TextMatch | None:
        found: list[tuple[int, str]] = []
        for stop in self._stop:
            start = text.find(stop, max(0, num_old - len(stop) + 1))
            if start >= 0:
                found.append((start, stop))
        for regex in self._stop_regex:
            match = _search_regex(regex, text, num_old)
            if match is not None:
                found.append((match.start(), match.group()))
        if not found:
            return None
        start, matched = min(found, key=lambda item: item[0])
        return TextMatch(self._tail_start + start, matched)

    def _trim(self) -> None:
        excess = len(self._tail) - self._num_before
        if excess > 0:
            self._tail = self._tail[excess:]
            self._tail_start += excess


class StopChecker:
    """The engine's verdict on one request's text, for requests that have stops.

    Raises RequestError for stops that break the limits of ``stop_patterns``.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        stop: tuple[str, ...] = (),
        stop_regex: tuple[str, ...] = (),
        skip_special_tokens: bool = True,
    ) -> None:
        self._detokenizer = IncrementalDetokenizer(
            tokenizer, skip_special_tokens=skip_special_tokens
        )
        self._search = StopSearch(check_stop_strings(stop), compile_stop_regexes(stop_regex))

    @classmethod
    def try_for_request(cls, tokenizer: Tokenizer, sampling: SamplingParams) -> StopChecker | None:
        """The checker of a request, None where it has no stops."""
        if not sampling.stop and not sampling.stop_regex:
            return None
        return cls(
            tokenizer,
            stop=sampling.stop,
            stop_regex=sampling.stop_regex,
            skip_special_tokens=sampling.skip_special_tokens,
        )

    def push(self, token_id: int) -> StopMatch | None:
        """Take the next output token; a match means that the text now holds a stop."""
        match = self.find(token_id)[1]
        return None if match is None else StopMatch(match.matched)

    def find(self, token_id: int) -> tuple[str, TextMatch | None]:
        """Take the next output token; returns the text that it made certain, and the match."""
        text = self._detokenizer.push_token(token_id)
        return text, self._search.feed(text, self._detokenizer.pending_text)

    def num_held(self) -> int:
        """How many of the last certain characters may belong to a stop that is not complete."""
        return self._search.num_held()

    def finish(self) -> str:
        """Return the rest of the text, without a verdict."""
        return self._detokenizer.finish()


def _search_regex(regex: StopRegex, text: str, num_old: int) -> re.Match[str] | None:
    """First match that the characters after ``num_old`` allow, found a chunk at a time.

    The chunks bound the work of one search, whatever the length of a token.
    """
    for begin in range(num_old, max(len(text), num_old + 1), CHUNK_CHARS):
        start = max(0, begin - regex.window + 1)
        match = regex.pattern.search(text, start, begin + CHUNK_CHARS)
        if match is not None:
            return match
    return None


def _num_started(stop: str, text: str) -> int:
    """Length of the longest end of ``text`` that is a proper beginning of ``stop``."""
    start = text.find(stop[0], max(0, len(text) - len(stop) + 1))
    while start >= 0:
        if stop.startswith(text[start:]):
            return len(text) - start
        start = text.find(stop[0], start + 1)
    return 0
