"""The shortest way to a valid end that can be found, from any place in a grammar.

A matcher tells only what may come next, so this is a search. Two orders take turns on one set of
open places, since each is quick where the other is lost:

- *Deep*: always on with the most promising candidate, others only for a price (limited discrepancy
  search). It closes what is open, fills required fields and writes 200 letters straight ahead.
- *Wide*: fewest tokens first, and places whose mask was seen often last. It finds the one ``z``
  that ends ``[a-y]*z``, and the cheap branch beside an endless one.

While an answer grows, an end of its last place nearly always helps: a part of it still ends the
text, perhaps behind a few other tokens. Whatever is found was checked by the matcher.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sglite.grammar.backend import GrammarTooComplexError, Matcher, Words
from sglite.grammar.candidates import Candidates, is_allowed

MAX_PIECE_BYTES = 32
"""Longer tokens are not used when a text is divided into the fewest."""
MAX_SUFFIXES = 16
"""How many parts of a hint are tried at one place."""
DISCREPANCY_COST = 0.25
DEEP_TOKEN_COST = 0.005
"""Going straight ahead for 50 tokens costs as much as taking the second candidate once."""
WIDE_RANK_COST = 0.1


class EndFinder:
    """Finds ends of texts over one vocabulary. Safe to use from several threads.

    ``pieces`` are the bytes of each token, empty where it is part of no text.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = pieces
        self.candidates = Candidates(pieces)
        self.num_words = (len(pieces) + 31) // 32
        self._id_of = {p: i for i, p in enumerate(pieces) if 0 < len(p) <= MAX_PIECE_BYTES}

    def find(
        self,
        matcher: Matcher,
        *,
        max_tokens: int,
        hints: Sequence[Sequence[int]] = (),
        effort: int,
    ) -> list[int] | None:
        """Tokens that ``matcher`` accepts and behind which the text may end; None: none found.

        ``max_tokens`` bounds them, ``effort`` the places that are looked at (tens of microseconds
        each). ``hints`` are ends of places nearby; with them the first end that fits is taken,
        without them it goes on for as long again to find a shorter one. Changes nothing.
        """
        for hint in hints:
            if len(hint) <= max_tokens and matcher.ends_after(hint):
                return list(hint)
        search = _Search(self, matcher, max_tokens=max_tokens, hints=hints)
        return search.run(effort)

    def text(self, token_ids: Sequence[int]) -> bytes:
        """The bytes of some tokens."""
        return b"".join([self.pieces[i] for i in token_ids])

    def drop_bytes(self, token_ids: Sequence[int], num_bytes: int) -> list[int]:
        """Tokens of the same text without its first ``num_bytes``; the whole tokens stay."""
        for position, token_id in enumerate(token_ids):
            piece = self.pieces[token_id]
            if num_bytes < len(piece):
                start = self.fewest_tokens(piece[num_bytes:]) if num_bytes else [token_id]
                return [] if start is None else start + list(token_ids[position + 1 :])
            num_bytes -= len(piece)
        return []

    def fewest_tokens(self, text: bytes) -> list[int] | None:
        """The fewest tokens that make up ``text``, None where there are none that do.

        Shortest path over the places between bytes, from the end.
        """
        num_behind: list[int | None] = [None] * len(text) + [0]
        first_token = [0] * len(text)
        for start in range(len(text) - 1, -1, -1):
            best: int | None = None
            for end in range(min(start + MAX_PIECE_BYTES, len(text)), start, -1):
                behind = num_behind[end]
                token_id = self._id_of.get(text[start:end])
                if token_id is not None and behind is not None and (best is None or behind < best):
                    best, first_token[start] = behind, token_id
            num_behind[start] = None if best is None else best + 1
        if num_behind[0] is None:
            return None
        token_ids = []
        start = 0
        while start < len(text):
            token_ids.append(first_token[start])
            start += len(self.pieces[token_ids[-1]])
        return token_ids


@dataclass(slots=True)
class _Place:
    """Where some tokens lead: not accepting, and nothing is forced there."""

    matcher: Matcher
    token_ids: list[int]
    cost: float
    """Price of the candidates taken so far that were not the first."""


class _Search:
    """One search; ``best`` is the shortest end so far."""

    def __init__(
        self,
        finder: EndFinder,
        matcher: Matcher,
        *,
        max_tokens: int,
        hints: Sequence[Sequence[int]],
    ) -> None:
        self.best: list[int] | None = None
        self._finder = finder
        self._start = matcher
        self._max_tokens = max_tokens
        self._hints = [np.array(hint, np.int64) for hint in hints if hint]
        self._is_content = bool(hints)
        # A way of short tokens may become a shorter one of long tokens.
        self._max_path = 4 * max_tokens + 16
        self._deep: list[tuple[float, int]] = []
        self._wide: list[tuple[float, int]] = []
        self._open: dict[int, tuple[_Place, int, float]] = {}
        self._num_pushed = 0
        self._num_seen: dict[int, int] = {}
        self._words_W: Words = np.zeros(finder.num_words, np.int32)

    def run(self, effort: int) -> list[int] | None:
        """Look at up to ``effort`` places."""
        self._visit(_Place(self._start.fork(), [], 0.0))
        num_visited = 1
        while num_visited < effort and self._open:
            if self.best is not None and self._is_content:
                break
            place = self._next(self._wide if num_visited % 2 else self._deep)
            num_visited += 1
            had_none = self.best is None
            if place is not None:
                self._visit(place)
            if self.best is not None and had_none:
                effort = min(effort, 2 * num_visited + 32)
        return self.best

    def _next(self, heap: list[tuple[float, int]]) -> _Place | None:
        """The best open place of one order; None where the grammar does not let us there."""
        key = heapq.heappop(heap)[1]
        while key not in self._open:
            key = heapq.heappop(heap)[1]
        parent, token_id, cost = self._open.pop(key)
        if len(parent.token_ids) + 1 > self._max_path:
            return None
        matcher = parent.matcher.fork()
        if matcher.accept([token_id]) != 1:
            return None
        return _Place(matcher, [*parent.token_ids, token_id], cost)

    def _visit(self, place: _Place) -> None:
        matcher = place.matcher
        if not matcher.is_accepting:
            forced = matcher.forced_tokens()
            place.token_ids += forced[: matcher.accept(forced)]
        if matcher.is_accepting:
            self._keep(place.token_ids)
            return
        try:
            matcher.fill_mask(self._words_W)
        except GrammarTooComplexError:
            return
        if not self._end_as_hinted(place):
            self._push_candidates(place)

    def _end_as_hinted(self, place: _Place) -> bool:
        """Whether the last part of a hint ends the text from here; the shortest such is kept."""
        for hint in self._hints:
            starts = np.flatnonzero(is_allowed(self._words_W, hint))[: -MAX_SUFFIXES - 1 : -1]
            for start in starts.tolist():
                suffix = hint[start:].tolist()
                if place.matcher.ends_after(suffix):
                    self._keep(place.token_ids + suffix)
                    return True
        return False

    def _push_candidates(self, place: _Place) -> None:
        mask = hash(self._words_W.tobytes())
        num_seen = self._num_seen.get(mask, 0)
        self._num_seen[mask] = num_seen + 1
        num_tokens = len(place.token_ids) + 1
        for rank, token_id in enumerate(self._finder.candidates.order(self._words_W)):
            cost = place.cost + DISCREPANCY_COST * rank
            key = self._num_pushed
            self._num_pushed += 1
            self._open[key] = (place, token_id, cost)
            heapq.heappush(self._deep, (cost + DEEP_TOKEN_COST * num_tokens, key))
            wide_cost = num_tokens + num_seen + WIDE_RANK_COST * rank
            heapq.heappush(self._wide, (wide_cost, key))

    def _keep(self, token_ids: list[int]) -> None:
        """Remember an end, divided into fewer tokens if possible, if none so far is as short."""
        if self.best is not None and len(token_ids) // 4 >= len(self.best):
            return
        fewest = self._finder.fewest_tokens(self._finder.text(token_ids))
        if fewest and len(fewest) < len(token_ids) and self._start.ends_after(fewest):
            token_ids = fewest
        limit = self._max_tokens if self.best is None else len(self.best) - 1
        if len(token_ids) <= limit:
            self.best = token_ids
            self._max_path = min(self._max_path, 4 * len(token_ids))
