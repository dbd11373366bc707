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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from sglite.grammar.backend import GrammarTooComplexError, Matcher, Words
from sglite.grammar.candidates import Candidates, is_allowed

MAX_PIECE_BYTES = 32
"""Longer tokens are not used when a text is divided into the fewest."""
MAX_SUFFIXES = 8
"""How many parts of a hint are tried at one place, of the longest and of the shortest each."""
DISCREPANCY_COST = 0.25
DEEP_TOKEN_COST = 0.0005
"""Going straight ahead for 500 tokens costs as much as taking the second candidate once."""
WIDE_RANK_COST = 0.1
MORE_EFFORT = 16
"""Places looked at for a shorter end besides as many as the first one took."""


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
        each). ``hints`` are ends of places nearby, of the last of which any part may help; with
        them the first end that fits is taken, without them it goes on for as long again to find a
        shorter one. Changes nothing.
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
    """Where some tokens lead: not accepting, and nothing is forced there.

    ``cost`` is the price of the candidates taken so far that were not the first, ``num_seen`` says
    how many places before had the same mask. ``untried`` are ranks of ``candidates``.
    """

    matcher: Matcher
    token_ids: list[int]
    cost: float = 0.0
    num_seen: int = 0
    candidates: list[int] = field(default_factory=list)
    untried: set[int] = field(default_factory=set)

    def deep_cost(self, rank: int) -> float:
        straight_on = DEEP_TOKEN_COST * len(self.token_ids)
        return self.cost + DISCREPANCY_COST * rank + straight_on

    def wide_cost(self, rank: int) -> float:
        return self.num_seen + len(self.token_ids) + WIDE_RANK_COST * rank


class _Order:
    """Open places, the cheapest first: of each place the first candidate that was not drawn."""

    def __init__(self, cost: Callable[[_Place, int], float]) -> None:
        self._cost = cost
        self._heap: list[tuple[float, int, _Place, int]] = []
        self._num_pushed = 0

    def push(self, place: _Place, rank: int = 0) -> None:
        """Put in the candidate ``rank`` of a place, if it has so many."""
        if rank < len(place.candidates):
            self._num_pushed += 1
            heapq.heappush(self._heap, (self._cost(place, rank), self._num_pushed, place, rank))

    def draw(self) -> tuple[_Place, int] | None:
        """A place and the rank of its candidate that is to be tried now; None: nothing is left."""
        while self._heap:
            _, _, place, rank = heapq.heappop(self._heap)
            self.push(place, rank + 1)
            if rank in place.untried:
                place.untried.remove(rank)
                return place, rank
        return None


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
        self._hint = np.array(hints[-1] if hints else (), np.int64)
        self._is_content = bool(hints)
        # A way of short tokens may become a shorter one of long tokens.
        self._max_path = 4 * max_tokens + 16
        self._orders = (_Order(_Place.deep_cost), _Order(_Place.wide_cost))
        self._num_seen: dict[bytes, int] = {}
        self._candidates: dict[bytes, list[int]] = {}
        self._words_W: Words = np.zeros(finder.num_words, np.int32)

    def run(self, effort: int) -> list[int] | None:
        """Look at up to ``effort`` places."""
        with suppress(GrammarTooComplexError):
            self._visit(_Place(self._start.fork(), []))
        num_visited = 1
        while num_visited < effort and not (self.best is not None and self._is_content):
            drawn = self._orders[num_visited % 2].draw()
            if drawn is None:
                break
            num_visited += 1
            had_none = self.best is None
            self._try(*drawn)
            if self.best is not None and had_none:
                effort = min(effort, 2 * num_visited + MORE_EFFORT)
        return self.best

    def _try(self, parent: _Place, rank: int) -> None:
        if len(parent.token_ids) >= self._max_path:
            return
        token_id = parent.candidates[rank]
        place = _Place(
            parent.matcher.fork(),
            [*parent.token_ids, token_id],
            parent.cost + DISCREPANCY_COST * rank,
        )
        with suppress(GrammarTooComplexError):
            if place.matcher.accept([token_id]) == 1:
                self._visit(place)

    def _visit(self, place: _Place) -> None:
        matcher = place.matcher
        if not matcher.is_accepting:
            forced = matcher.forced_tokens()
            place.token_ids += forced[: matcher.accept(forced)]
        if matcher.is_accepting:
            self._keep(place.token_ids)
            return
        matcher.fill_mask(self._words_W)
        if not self._end_as_hinted(place):
            self._open(place)

    def _end_as_hinted(self, place: _Place) -> bool:
        """Whether a last part of the hint ends the text from here in few enough tokens.

        A text that went along the hint has passed its first tokens; one that turned off it early
        needs its last ones.
        """
        starts = np.flatnonzero(is_allowed(self._words_W, self._hint)).tolist()
        if len(starts) > 2 * MAX_SUFFIXES:
            starts = starts[:MAX_SUFFIXES] + starts[-MAX_SUFFIXES:]
        for start in starts:
            suffix = self._hint[start:].tolist()
            if place.matcher.ends_after(suffix) and self._keep(place.token_ids + suffix):
                return True
        return False

    def _open(self, place: _Place) -> None:
        """Have the candidates of a place tried in their turn."""
        mask = self._words_W.tobytes()
        if mask not in self._candidates:
            self._candidates[mask] = self._finder.candidates.order(self._words_W)
        place.num_seen = self._num_seen.get(mask, 0)
        self._num_seen[mask] = place.num_seen + 1
        place.candidates = self._candidates[mask]
        place.untried = set(range(len(place.candidates)))
        for order in self._orders:
            order.push(place)

    def _keep(self, token_ids: list[int]) -> bool:
        """Remember an end if none so far is as short; divided anew where that may help."""
        limit = self._max_tokens if self.best is None else len(self.best) - 1
        if len(token_ids) > 4 * limit + 16:
            return False
        if not self._is_content or len(token_ids) > limit:
            fewest = self._finder.fewest_tokens(self._finder.text(token_ids))
            if fewest and len(fewest) < len(token_ids) and self._start.ends_after(fewest):
                token_ids = fewest
        if len(token_ids) > limit:
            return False
        self.best = token_ids
        self._max_path = min(self._max_path, 4 * len(token_ids))
        return True
