"""The requests that wait, and the policies that order them.

A policy is a function from the queue to the order of admission. Sorting is stable, also in reverse,
so equals stay in order of arrival. Recipe for a new one: write the function, add it to ``POLICIES``
and to the choices of ``schedule_policy`` in ``config.py``.
"""

from __future__ import annotations

import random
from bisect import insort
from collections.abc import Callable
from operator import attrgetter

from sglite.kvcache.cache_manager import CacheManager
from sglite.kvcache.radix_tree import RadixNode
from sglite.scheduler.sequence import Sequence, SequenceState

by_arrival = attrgetter("arrival_order")
by_hint = attrgetter("num_hinted_pages")


class WaitingQueue:
    """Waiting sequences in order of arrival, and a cached order of admission.

    ``lpm`` costs a sort of an almost sorted list; hints are kept fresh by the prefix index.
    """

    def __init__(
        self,
        policy: str,
        cache: CacheManager,
        *,
        max_wait_s: float,
        lpm_fallback_threshold: int,
        seed: int,
    ) -> None:
        self.cache = cache
        self.num_tokens = 0
        self.arrivals: list[Sequence] = []
        self.random = random.Random(seed)
        self.lpm_fallback_threshold = lpm_fallback_threshold
        self._policy = POLICIES[policy]
        self._max_wait_s = max_wait_s
        self._order: list[Sequence] | None = None

    def __len__(self) -> int:
        return len(self.arrivals)

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence, or one that comes back: it takes its old place by arrival."""
        insort(self.arrivals, sequence, key=by_arrival)
        self.num_tokens += sequence.num_tokens
        self._order = None

    def reorder(self) -> None:
        """Something that the order depends on has changed."""
        self._order = None

    def drop_departed(self) -> None:
        """Forget sequences that no longer wait (admitted or finished since)."""
        waiting = SequenceState.WAITING
        self.arrivals = [s for s in self.arrivals if s.state is waiting]
        self.num_tokens = sum(s.num_tokens for s in self.arrivals)
        if self._order is not None:
            self._order = [s for s in self._order if s.state is waiting]

    def ordered(self, now: float) -> list[Sequence]:
        """Whom to admit first: those over the aging bound by arrival, then by the policy."""
        if self._order is None:
            self._order = self._policy(self)
        num_aged = self._num_aged(now)
        if num_aged == 0:
            return self._order
        aged = self.arrivals[:num_aged]
        last = aged[-1].arrival_order
        return aged + [s for s in self._order if s.arrival_order > last]

    def _num_aged(self, now: float) -> int:
        oldest = now - self._max_wait_s
        count = 0
        for sequence in self.arrivals:
            if sequence.timings.arrival_s > oldest:
                break
            count += 1
        return count


def fcfs(queue: WaitingQueue) -> list[Sequence]:
    """First come, first served."""
    return queue.arrivals


def lpm(queue: WaitingQueue) -> list[Sequence]:
    """Longest cached prefix first (SGLang's cache-aware order); by arrival in a long queue."""
    if len(queue) > queue.lpm_fallback_threshold:
        return queue.arrivals
    return sorted(queue.arrivals, key=by_hint, reverse=True)


def lof(queue: WaitingQueue) -> list[Sequence]:
    """Longest output first: what takes longest starts earliest."""
    return sorted(queue.arrivals, key=lambda s: s.max_total - s.num_tokens, reverse=True)


def shuffled(queue: WaitingQueue) -> list[Sequence]:
    """Random order, from the configured seed."""
    order = list(queue.arrivals)
    queue.random.shuffle(order)
    return order


def priority(queue: WaitingQueue) -> list[Sequence]:
    """Highest ``priority`` first, then by arrival."""
    return sorted(queue.arrivals, key=lambda s: s.request.priority, reverse=True)


def dfs_weight(queue: WaitingQueue) -> list[Sequence]:
    """Depth-first through the tree, the child with most waiting requests below it first.

    Requests that share a branch run together, so that the branch is used while it is there.
    """
    here: dict[int, list[Sequence]] = {}
    weights: dict[int, int] = {}
    children: dict[int, dict[int, RadixNode]] = {}
    no_prefix: list[Sequence] = []
    tops: dict[int, RadixNode] = {}
    for sequence in queue.arrivals:
        match = queue.cache.match(sequence.namespace, sequence.key_ids, sequence.max_match_tokens)
        if match.node is None:
            no_prefix.append(sequence)
            continue
        here.setdefault(id(match.node), []).append(sequence)
        below: RadixNode | None = None
        for node in match.node.path():
            weights[id(node)] = weights.get(id(node), 0) + 1
            if below is not None:
                children.setdefault(id(node), {})[id(below)] = below
            below = node
        assert below is not None
        tops[id(below)] = below
    order: list[Sequence] = []
    siblings = list(tops.values())
    stack: list[RadixNode] = []
    while siblings or stack:
        # The stack's end comes first: the heaviest, and among equals the first to arrive.
        heaviest_first = sorted(siblings, key=lambda node: weights[id(node)], reverse=True)
        stack += reversed(heaviest_first)
        node = stack.pop()
        order += here.get(id(node), [])
        siblings = list(children.get(id(node), {}).values())
    return order + no_prefix


POLICIES: dict[str, Callable[[WaitingQueue], list[Sequence]]] = {
    "fcfs": fcfs,
    "lpm": lpm,
    "dfs-weight": dfs_weight,
    "weight": dfs_weight,
    "lof": lof,
    "random": shuffled,
    "priority": priority,
}
"""Name -> order of admission."""
