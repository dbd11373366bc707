"""Caches and their content in one line each."""

from __future__ import annotations

from typing import Any

from sglite.config import CacheOptions
from sglite.kvcache.cache_manager import CacheManager, SequencePages
from sglite.kvcache.groups import KVGroup
from sglite.observability.events import Event, EventStream

PAGE = 4

FULL = (KVGroup("paged_full", (0, 1)),)
# Behind page i, the next token reads pages i - 1 and i.
WINDOW = (KVGroup("paged_window", (0, 1), window=6),)
MIXED = (KVGroup("paged_full", (0,)), KVGroup("paged_window", (1,), window=6))


def make_cache(
    groups: tuple[KVGroup, ...] = FULL,
    num_pages: int = 32,
    events: list[Event] | None = None,
    **options: Any,
) -> CacheManager:
    """A cache with pages of 4 tokens; what happens in it is appended to ``events``."""
    stream = EventStream([] if events is None else [events.append])
    options = {"page_size": PAGE} | options
    return CacheManager(groups, [num_pages] * len(groups), CacheOptions(**options), stream)


def ids(text: str) -> list[int]:
    """``"aab"`` with pages of four: a token for each letter, so that a page reads as one word."""
    return [ord(letter) for letter in text if letter != " "]


def begin(
    cache: CacheManager, key_ids: list[int], *, namespace: str = "", priority: int = 0
) -> SequencePages:
    """A sequence that holds pages for all of ``key_ids`` and has computed none."""
    match = cache.match(namespace, key_ids, len(key_ids) - 1)
    pages = cache.acquire(match, priority=priority)
    assert cache.try_grow(pages, len(key_ids)), "the test's pool is too small"
    return pages


def compute(cache: CacheManager, pages: SequencePages, key_ids: list[int]) -> None:
    """All of ``key_ids`` are written: into the tree, and out of the windows."""
    cache.insert(pages, key_ids, len(key_ids), after_step=None)
    cache.advance(pages, len(key_ids), after_step=None)


def serve(cache: CacheManager, text: str, *, namespace: str = "", priority: int = 0) -> None:
    """A whole request whose tokens are ``text``; what it computed stays in the cache."""
    key_ids = ids(text)
    pages = begin(cache, key_ids, namespace=namespace, priority=priority)
    compute(cache, pages, key_ids)
    cache.release(pages, after_step=None)


def num_cached(cache: CacheManager, text: str, *, namespace: str = "") -> int:
    """Tokens of ``text`` that a longer request would find."""
    key_ids = ids(text)
    return cache.match(namespace, key_ids, len(key_ids)).num_tokens
