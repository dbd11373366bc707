"""Which waiting requests get a row now: by order of the policy, and by pages.

A request is admitted when the pool holds what it surely needs now plus what the running requests
and it are expected to generate. One whose prefix another request is computing right now waits for
it instead of computing it again.
"""

from __future__ import annotations

from collections.abc import Iterator

from sglite.kvcache.cache_manager import CacheManager
from sglite.kvcache.radix_tree import PrefixMatch
from sglite.observability.events import EventStream, HeldBack
from sglite.scheduler.budget import NewTokenEstimate
from sglite.scheduler.prefix_index import PrefixIndex
from sglite.scheduler.sequence import Sequence
from sglite.scheduler.waiting_queue import WaitingQueue


class Admission:
    """Turns the waiting queue into sequences that hold pages and are ready for a row."""

    def __init__(
        self,
        cache: CacheManager,
        queue: WaitingQueue,
        prefixes: PrefixIndex,
        estimate: NewTokenEstimate,
        events: EventStream,
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._prefixes = prefixes
        self._estimate = estimate
        self._events = events

    def candidates(self, running: list[Sequence], now: float) -> Iterator[Sequence]:
        """Yield sequences in the order of admission, each with its pages acquired.

        Stops at the first that does not fit, so that a long prompt is not overtaken for ever.
        """
        reserve = self._estimate.reserve(running)
        is_alone = not running
        for sequence in self._queue.ordered(now):
            if self._is_held_back(sequence):
                continue
            match = self._fresh_match(sequence)
            if match is None:
                continue
            own = self._estimate.reserve([sequence])
            if not self._try_acquire(sequence, match, 0 if is_alone else reserve + own):
                self._note(sequence, "not enough free KV pages")
                return
            reserve += own
            is_alone = False
            yield sequence

    def _fresh_match(self, sequence: Sequence) -> PrefixMatch | None:
        """The cached prefix as of now; None if that shows that the sequence should wait."""
        if not sequence.can_share:
            return PrefixMatch(sequence.namespace, None, 0, [[] for _ in self._cache.groups])
        match = self._cache.match(sequence.namespace, sequence.key_ids, sequence.max_match_tokens)
        num_pages = match.num_tokens // self._cache.page_size
        if num_pages != sequence.num_hinted_pages:
            self._prefixes.watch(sequence, num_pages)
            if self._is_held_back(sequence):
                return None
        return match

    def _try_acquire(self, sequence: Sequence, match: PrefixMatch, reserve: int) -> bool:
        cache = self._cache
        missing = sequence.num_tokens - match.num_tokens + reserve
        if not self._has_room(missing):
            return False  # before anything is marked as used: this is tried in every step
        pages = cache.acquire(match, priority=sequence.request.priority)
        # The lock on the match may have taken pages that eviction could have freed.
        if not self._has_room(missing) or not cache.try_grow(pages, sequence.num_tokens):
            cache.release(pages, after_step=None)
            return False
        sequence.pages = pages
        sequence.num_computed = sequence.num_scheduled = match.num_tokens
        self._prefixes.unwatch(sequence)
        if sequence.can_insert:
            self._prefixes.start(sequence, match.num_tokens // cache.page_size)
        return True

    def _has_room(self, num_tokens: int) -> bool:
        return self._cache.min_available_pages() * self._cache.page_size >= num_tokens

    def _is_held_back(self, sequence: Sequence) -> bool:
        if not sequence.can_share:
            return False
        other = self._prefixes.computing(sequence, sequence.num_hinted_pages)
        if other is None:
            return False
        self._note(sequence, f"{other.request_id} is computing its prefix")
        return True

    def _note(self, sequence: Sequence, reason: str) -> None:
        if self._events.active:
            self._events.emit(HeldBack(sequence.request_id, reason))


def why_no_room(cache: CacheManager, sequence: Sequence) -> str:
    """What to tell a request that is alone and yet has no room for its next token."""
    return (
        f"the KV pool of {cache.num_total_tokens} tokens, {cache.count_pinned_tokens()} of them "
        f"pinned, has no room beyond the {sequence.num_tokens} of this request; unpin prefixes or "
        "raise max_total_tokens"
    )
