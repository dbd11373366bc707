"""The rules by which a router chooses; each is one class over plain data.

A policy sees only the engines that may be chosen now: up, and below their limit. Less loaded means
fewer open tokens, then fewer requests, then the lower number.

    round_robin      the next number after the last one chosen, and around
    shortest_queue   the least loaded
    random           any, from a seeded generator
    cache_aware      the one with the longest cached or expected start of the prompt, the least
                     loaded of several such; but the least loaded of all (of equals each in turn)
                     where nobody has any, or where that one is ahead of it by more than
                     `balance_tokens` and by more than `balance_factor` times
    sticky           the one that has the session, while it may be chosen; else as cache_aware

Recipe for a new one: write the class, add it to ``make_policy`` and its name to
``RoutingPolicyName`` in ``config_parallel.py``.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

from sglite.config_parallel import RoutingOptions
from sglite.router.prefix_index import PrefixIndex

MAX_SESSIONS = 100_000


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How busy an engine is.

    ``num_tokens`` counts what its open requests still hold or will: their prompts, and the outputs
    that they may have.
    """

    engine: int
    num_requests: int = 0
    num_tokens: int = 0


by_tokens = attrgetter("num_tokens")
by_requests = attrgetter("num_requests")
as_busy = attrgetter("num_tokens", "num_requests")


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """What routing knows of a request.

    ``prefix_hashes`` gives the 64-bit hashes of its prompt's whole pages, each covering all before
    it (``router.prefix_hashes``); called only by policies that look at prefixes. ``session`` is the
    caller's name for a series of requests.
    """

    request_id: str
    num_tokens: int
    prefix_hashes: Callable[[], Sequence[int]] = field(default=lambda: ())
    session: str | None = None


class RoutingPolicy(Protocol):
    """Chooses among engines. Deterministic, but for a random number generator it was given."""

    def choose(self, request: RoutedRequest, loads: Sequence[EngineLoad]) -> int:
        """The number of one of the engines in ``loads``, which is not empty and in their order.

        Internal updates: a policy may note that the request goes there.
        """


class RoundRobin:
    """Each engine in turn."""

    def __init__(self) -> None:
        self._last = -1

    def choose(self, request: RoutedRequest, loads: Sequence[EngineLoad]) -> int:
        """See :class:`RoutingPolicy`."""
        later = (load.engine for load in loads if load.engine > self._last)
        self._last = next(later, loads[0].engine)
        return self._last


class ShortestQueue:
    """The least loaded engine."""

    def choose(self, request: RoutedRequest, loads: Sequence[EngineLoad]) -> int:
        """See :class:`RoutingPolicy`."""
        return least_loaded(loads).engine


class Random:
    """Any engine, each as likely as the others."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def choose(self, request: RoutedRequest, loads: Sequence[EngineLoad]) -> int:
        """See :class:`RoutingPolicy`."""
        return self._random.choice(loads).engine


class CacheAware:
    """The engine that has most of the prompt cached, unless it is far ahead of the least loaded.

    Equally loaded engines take turns: else the first would fill its cache, others hold nothing.
    """

    def __init__(self, options: RoutingOptions, index: PrefixIndex) -> None:
        self._options = options
        self._index = index
        self._turns = RoundRobin()

    def choose(self, request: RoutedRequest, loads: Sequence[EngineLoad]) -> int:
        """See :class:`RoutingPolicy`. Internal updates: the engine is expected to have the prompt's
        pages from now on.
        """
        hashes = request.prefix_hashes()
        engine = self._choose(request, hashes, loads)
        self._index.expect(request.request_id, engine, hashes)
        return engine

    def _choose(
        self, request: RoutedRequest, hashes: Sequence[int], loads: Sequence[EngineLoad]
    ) -> int:
        least = least_loaded(loads)
        matches = self._matches(hashes, loads)
        if matches:
            best = least_loaded(matches)
            if not self._is_far_ahead(best, least):
                return best.engine
        equals = [load for load in loads if as_busy(load) == as_busy(least)]
        return self._turns.choose(request, equals)

    def _matches(self, hashes: Sequence[int], loads: Sequence[EngineLoad]) -> list[EngineLoad]:
        """Those with the longest start of all in ``loads``; none where nobody has any."""
        _, mask = self._index.deepest(hashes)
        found = [load for load in loads if mask >> load.engine & 1] if mask else []
        if mask and not found:  # only others have that much
            _, mask = self._index.deepest(hashes, sum(1 << load.engine for load in loads))
            found = [load for load in loads if mask >> load.engine & 1]
        return found

    def _is_far_ahead(self, best: EngineLoad, least: EngineLoad) -> bool:
        is_more = best.num_tokens - least.num_tokens > self._options.balance_tokens
        return is_more and best.num_tokens > self._options.balance_factor * least.num_tokens


class Sticky:
    """The engine that served a session's last request; others by ``otherwise``.

    Of ``max_sessions`` known ones, those that asked longest ago are forgotten first.
    """

    def __init__(self, otherwise: RoutingPolicy, max_sessions: int = MAX_SESSIONS) -> None:
        self._otherwise = otherwise
        self._max_sessions = max_sessions
        self._engines: OrderedDict[str, int] = OrderedDict()

    def choose(self, request: RoutedRequest, loads: Sequence[EngineLoad]) -> int:
        """See :class:`RoutingPolicy`. Internal updates: the session is the chosen engine's."""
        if request.session is None:
            return self._otherwise.choose(request, loads)
        engine = self._engines.get(request.session)
        if engine is None or all(load.engine != engine for load in loads):
            engine = self._otherwise.choose(request, loads)
        self._engines[request.session] = engine
        self._engines.move_to_end(request.session)
        if len(self._engines) > self._max_sessions:
            self._engines.popitem(last=False)
        return engine


def least_loaded(loads: Sequence[EngineLoad]) -> EngineLoad:
    """The one with the fewest open tokens; of several with the fewest requests, then the first."""
    fewest = min(map(by_tokens, loads))  # a third of the time of one pass with both as its key
    return min([load for load in loads if load.num_tokens == fewest], key=by_requests)


def make_policy(options: RoutingOptions, index: PrefixIndex, seed: int) -> RoutingPolicy:
    """The policy that ``routing_policy`` names."""
    policies: dict[str, Callable[[], RoutingPolicy]] = {
        "round_robin": RoundRobin,
        "shortest_queue": ShortestQueue,
        "random": lambda: Random(seed),
        "cache_aware": lambda: CacheAware(options, index),
        "sticky": lambda: Sticky(CacheAware(options, index)),
    }
    return policies[options.routing_policy]()
