"""The door in: queue limits, deadlines, samples of one prompt, shorter outputs under load."""

from __future__ import annotations

import heapq
from collections import Counter

from sglite.config import CacheOptions, SchedulerOptions
from sglite.errors import CapacityError
from sglite.kvcache.cache_manager import CacheManager
from sglite.request import Request
from sglite.scheduler.sequence import Sequence
from sglite.scheduler.waiting_queue import WaitingQueue

MAX_ENDED = 64
"""Ended requests that may lie among the deadlines, beside as many as live."""


class Intake:
    """Turns requests into sequences, and remembers what ends them from outside."""

    def __init__(
        self,
        options: SchedulerOptions,
        cache_options: CacheOptions,
        cache: CacheManager,
        queue: WaitingQueue,
    ) -> None:
        self._options = options
        self._cache_options = cache_options
        self._cache = cache
        self._queue = queue
        self._deadlines: list[tuple[float, int, Sequence]] = []
        self._group_sizes: Counter[str] = Counter()
        self._num_arrived = 0

    def accept(
        self, request: Request, now: float, *, num_free_rows: int, num_live: int
    ) -> Sequence:
        """A sequence for ``request``. Raises CapacityError, nothing changed, if too many wait."""
        self._check_room(request, num_free_rows)
        sequence = Sequence(request, arrival_order=self._num_arrived, now=now)
        self._num_arrived += 1
        self._adapt_max_new_tokens(sequence, num_live + 1)
        self._choose_sharing(sequence)
        self._drop_ended(num_live)
        self._set_deadline(sequence, now)
        return sequence

    def expired(self, now: float) -> list[Sequence]:
        """Sequences whose deadline has passed and that have not ended."""
        gone = []
        while self._deadlines and self._deadlines[0][0] <= now:
            sequence = heapq.heappop(self._deadlines)[2]
            if not sequence.finished:
                gone.append(sequence)
        return gone

    def forget(self, sequence: Sequence) -> None:
        """An ended sequence holds nothing any more."""
        group_id = sequence.request.group_id
        if group_id is None:
            return
        self._group_sizes[group_id] -= 1
        if self._group_sizes[group_id] == 0:
            del self._group_sizes[group_id]
            if self._cache_options.disable_radix_cache:
                self._cache.drop_namespace(sequence.namespace)

    def _check_room(self, request: Request, num_free_rows: int) -> None:
        options, num_waiting = self._options, len(self._queue)
        if num_waiting >= options.max_queued_requests and num_free_rows <= num_waiting:
            raise CapacityError(
                f"{num_waiting} requests wait, and max_queued_requests is "
                f"{options.max_queued_requests}; try again later",
                retry_after_s=1.0,
            )
        num_tokens = self._queue.num_tokens + len(request.prompt_token_ids)
        if num_waiting and num_tokens > options.max_queued_tokens:
            raise CapacityError(
                f"with this request {num_tokens} prompt tokens would wait, and max_queued_tokens "
                f"is {options.max_queued_tokens}; try again later",
                retry_after_s=1.0,
            )

    def _adapt_max_new_tokens(self, sequence: Sequence, num_live: int) -> None:
        options = self._options
        max_new_tokens = sequence.max_total - sequence.num_prompt_tokens
        is_loaded = num_live > options.adaptive_max_inflight_threshold
        # An answer with a grammar has been promised that its shortest end fits.
        can_shorten = max_new_tokens > 1 and sequence.request.sampling.grammar is None
        if options.adaptive_max_new_tokens and is_loaded and can_shorten:
            shorter = max(1, int(max_new_tokens * options.adaptive_max_new_tokens_factor))
            sequence.max_total = sequence.num_prompt_tokens + shorter

    def _choose_sharing(self, sequence: Sequence) -> None:
        """Without the prefix cache, the samples of one prompt share a namespace of their own."""
        group_id = sequence.request.group_id
        if group_id is not None:
            self._group_sizes[group_id] += 1
        limit = self._cache_options.radix_cache_max_prompt_tokens
        sequence.can_insert = limit is None or sequence.num_prompt_tokens <= limit
        if self._cache_options.disable_radix_cache:
            sequence.can_share = sequence.can_insert = group_id is not None
            sequence.namespace = f"\0group {group_id}"

    def _set_deadline(self, sequence: Sequence, now: float) -> None:
        deadline = sequence.request.deadline_s
        if deadline is None and self._options.request_timeout_s is not None:
            deadline = now + self._options.request_timeout_s
        if deadline is not None:
            heapq.heappush(self._deadlines, (deadline, sequence.arrival_order, sequence))

    def _drop_ended(self, num_live: int) -> None:
        """Keep no ended request, and its tokens, until a deadline that is hours away."""
        if len(self._deadlines) > 2 * num_live + MAX_ENDED:
            self._deadlines = [entry for entry in self._deadlines if not entry[2].finished]
            heapq.heapify(self._deadlines)
