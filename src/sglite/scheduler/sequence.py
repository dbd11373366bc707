"""The state of one request inside the scheduler.

The tokens of a sequence and how far each of them has come:

    token_ids      | prompt ............ | output .. |  pending  |
    num_computed   ───────────────────────────▶|     .           .   a fact: KV written
    num_scheduled  ─────────────────────────────────────────▶|   .   a bound: KV reserved
    num_tokens     ──────────────────────────────────▶|          .   known ids
    num_bound      ─────────────────────────────────────────────▶|   with samples still on the way
"""

from __future__ import annotations

from enum import Enum, auto

from sglite.kvcache.cache_manager import SequencePages
from sglite.request import FinishReason, Request, RequestFinish, RequestTimings


class SequenceState(Enum):
    """Where a sequence stands. ``DRAINING`` has left the batch, but a launched step names it."""

    WAITING = auto()
    RUNNING = auto()
    DRAINING = auto()
    SETTLED = auto()


class Sequence:
    """One request on its way. Only the scheduler changes it."""

    __slots__ = (
        "arrival_order", "can_insert", "can_share", "finished", "is_poisoned", "key_ids",
        "last_step", "max_total", "namespace", "num_cached_tokens", "num_computed",
        "num_hinted_pages", "num_jumped_tokens", "num_pending", "num_prompt_tokens",
        "num_retractions", "num_scheduled", "num_tokens", "page_hashes", "pages",
        "prompt_logprob_next", "request", "request_id", "row", "row_has_sample", "state",
        "stop_ids", "timings", "token_ids", "void_until", "watched_hash",
    )  # fmt: skip

    def __init__(self, request: Request, *, arrival_order: int, now: float) -> None:
        self.request = request
        self.request_id = request.request_id
        self.token_ids = list(request.prompt_token_ids)
        # Text sequences share one list, so that appending a token extends both.
        self.key_ids = self.token_ids if request.key_ids is None else list(request.key_ids)
        self.num_prompt_tokens = self.num_tokens = len(self.token_ids)
        self.max_total = self.num_prompt_tokens + request.max_new_tokens
        self.num_computed = 0
        self.num_scheduled = 0
        self.num_pending = 0
        self.num_cached_tokens = 0
        self.num_retractions = 0
        self.namespace = request.namespace
        self.can_share = True
        self.can_insert = True
        self.is_poisoned = False
        self.state = SequenceState.WAITING
        self.finished = False
        self.pages: SequencePages | None = None
        self.row = 0
        self.row_has_sample = False
        self.last_step = -1
        self.void_until = -1
        self.num_jumped_tokens = 0
        self.stop_ids = frozenset[int]()
        if not request.sampling.ignore_eos:
            self.stop_ids = request.eos_token_ids | frozenset(request.sampling.stop_token_ids)
        self.prompt_logprob_next = self.num_prompt_tokens
        if request.logprobs is not None and request.logprobs.start_len is not None:
            self.prompt_logprob_next = request.logprobs.start_len + 1
        self.timings = RequestTimings(arrival_s=now)
        self.arrival_order = arrival_order
        self.page_hashes: list[int] = []
        self.num_hinted_pages = 0
        self.watched_hash: int | None = None

    @property
    def num_bound(self) -> int:
        """Tokens there will be once every launched step is committed."""
        return self.num_tokens + self.num_pending

    @property
    def num_output_tokens(self) -> int:
        """Tokens generated so far."""
        return self.num_tokens - self.num_prompt_tokens

    @property
    def max_match_tokens(self) -> int:
        """How far a cached prefix may reach: something is left to compute, and every position
        whose log-probability is wanted is computed.
        """
        if self.prompt_logprob_next >= self.num_prompt_tokens:
            return self.num_tokens - 1
        return max(0, self.prompt_logprob_next - 1)

    def append_token(self, token_id: int) -> None:
        """A sampled token became a fact."""
        self.token_ids.append(token_id)
        if self.key_ids is not self.token_ids:
            self.key_ids.append(token_id)
        self.num_tokens += 1

    def take_instead(self, token_ids: list[int], *, newest_open: int | None) -> None:
        """Tokens that stand in the place of the sampled one; it was the last one pending.

        What open steps compute from the sampled one is void: its KV is written anew, as that of
        known tokens.
        """
        for token_id in token_ids:
            self.append_token(token_id)
        self.num_jumped_tokens += max(0, len(token_ids) - 1)
        self.num_scheduled = self.num_computed
        self.num_pending = 0
        self.row_has_sample = False
        if newest_open is not None:
            self.void_until = newest_open

    def extend_page_hashes(self, page_size: int) -> list[int]:
        """Hashes of all whole pages so far, each covering its prefix and the namespace."""
        hashes, key_ids = self.page_hashes, self.key_ids
        previous = hashes[-1] if hashes else hash(self.namespace)
        for start in range(len(hashes) * page_size, self.num_tokens - page_size + 1, page_size):
            previous = hash((previous, *key_ids[start : start + page_size]))
            hashes.append(previous)
        return hashes

    def to_finish(
        self, reason: FinishReason, matched: int | str | None, message: str | None
    ) -> RequestFinish:
        """The terminal event of this sequence."""
        return RequestFinish(
            request_id=self.request_id,
            reason=reason,
            matched=matched,
            message=message,
            num_prompt_tokens=self.num_prompt_tokens,
            num_output_tokens=self.num_output_tokens,
            num_cached_tokens=self.num_cached_tokens,
            num_retractions=self.num_retractions,
            max_new_tokens=self.max_total - self.num_prompt_tokens,
            timings=self.timings,
            num_jumped_tokens=self.num_jumped_tokens,
            ignored_schema_keywords=self.request.ignored_schema_keywords,
        )
