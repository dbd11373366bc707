"""Engines without a model: real caches that are filled at once, and tell what they have."""

from __future__ import annotations

import random

from sglite.config import CacheOptions
from sglite.config_parallel import RoutingOptions
from sglite.ipc.tree_digest import TreeDigest
from sglite.kvcache.cache_manager import CacheManager
from sglite.kvcache.groups import KVGroup
from sglite.observability.events import EventStream
from sglite.router.policies import RoutedRequest
from sglite.router.prefix_hashes import page_hashes
from sglite.router.router import Router

PAGE_SIZE = 16


class SimulatedEngine:
    """A cache, and the number of prompt tokens that were not in it when they were wanted."""

    def __init__(self, num_pages: int) -> None:
        groups = (KVGroup("paged_full", (0,)),)
        options = CacheOptions(page_size=PAGE_SIZE)
        self.cache = CacheManager(groups, [num_pages], options, EventStream())
        self.digest = TreeDigest(self.cache)
        self.num_computed_tokens = 0

    def serve(self, prompt: list[int]) -> None:
        """One whole request."""
        match = self.cache.match("", prompt, len(prompt) - 1)
        self.num_computed_tokens += len(prompt) - match.num_tokens
        pages = self.cache.acquire(match)
        assert self.cache.try_grow(pages, len(prompt))
        self.cache.insert(pages, prompt, len(prompt), after_step=None)
        self.cache.release(pages, after_step=None)


class Fleet:
    """Engines behind a router. ``tells``: whether digests reach it."""

    def __init__(
        self,
        policy: str,
        num_engines: int = 4,
        *,
        num_pages: int = 4096,
        tells: bool = True,
        **options: float,
    ) -> None:
        chosen = RoutingOptions(routing_policy=policy, **options)
        self.router = Router(chosen, num_engines, has_digests=tells)
        self.engines = [SimulatedEngine(num_pages) for _ in range(num_engines)]
        self.now = 0.0
        self._tells = tells
        self._num_sent = 0

    @property
    def num_computed_tokens(self) -> int:
        return sum(engine.num_computed_tokens for engine in self.engines)

    def send(self, prompt: list[int]) -> tuple[str, int]:
        """Route a request; its id and its engine."""
        self._num_sent += 1
        name = f"r{self._num_sent}"
        request = RoutedRequest(name, len(prompt) + 16, lambda: page_hashes(prompt, PAGE_SIZE))
        engine = self.router.try_route(request, self.now)
        assert engine is not None
        return name, engine

    def finish(self, name: str) -> None:
        self.router.finished(name, self.now)

    def tell(self) -> None:
        """Digests arrive, some time later."""
        self.now += 0.1
        for number, engine in enumerate(self.engines):
            for message in engine.digest.changes() if self._tells else ():
                self.router.take_digest(number, message)

    def burst(self, prompts: list[list[int]]) -> list[int]:
        """All are routed before any is computed; their engines."""
        places = [self.send(prompt) for prompt in prompts]
        for prompt, (name, number) in zip(prompts, places, strict=True):
            self.engines[number].serve(prompt)
            self.finish(name)
        self.tell()
        return [number for _, number in places]

    def one_by_one(self, prompts: list[list[int]], *, tells_every: int = 1) -> None:
        """Each is computed before the next one comes; digests follow after some."""
        for count, prompt in enumerate(prompts, 1):
            name, number = self.send(prompt)
            self.engines[number].serve(prompt)
            self.finish(name)
            if count % tells_every == 0:
                self.tell()


def groups_of_prompts(
    rng: random.Random, *, num_groups: int = 8, num_each: int = 16, shared: int = 1024
) -> list[tuple[int, list[int]]]:
    """Shuffled prompts of a shared start and 16 tokens of their own, each with its group."""
    found = []
    for group in range(num_groups):
        start = ids(rng, shared)
        found += [(group, start + ids(rng, 16)) for _ in range(num_each)]
    rng.shuffle(found)
    return found


def ids(rng: random.Random, count: int) -> list[int]:
    """Random token ids."""
    return [rng.randrange(32_000) for _ in range(count)]
