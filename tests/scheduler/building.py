"""Sequences and caches in one line each."""

from __future__ import annotations

from typing import Any

from sglite.kvcache.cache_manager import CacheManager
from sglite.request import Request
from sglite.scheduler.sequence import Sequence
from tests.kvcache.building import PAGE, compute, ids

__all__ = ["PAGE", "ids", "make_sequence", "take_pages", "write"]


def make_sequence(text: str, order: int = 0, *, now: float = 0.0, **fields: Any) -> Sequence:
    """A waiting sequence named after its number, with a token for each letter of ``text``."""
    request = Request(request_id=f"r{order}", prompt_token_ids=tuple(ids(text)), **fields)
    sequence = Sequence(request, arrival_order=order, now=now)
    sequence.extend_page_hashes(PAGE)
    return sequence


def take_pages(cache: CacheManager, sequence: Sequence) -> Sequence:
    """What admission does: match, acquire, and room for all tokens."""
    match = cache.match(sequence.namespace, sequence.key_ids, sequence.max_match_tokens)
    sequence.pages = cache.acquire(match)
    assert cache.try_grow(sequence.pages, sequence.num_tokens)
    sequence.num_computed = sequence.num_scheduled = match.num_tokens
    return sequence


def write(cache: CacheManager, sequence: Sequence) -> None:
    """All tokens of ``sequence``, which has its pages, are computed and in the cache."""
    assert sequence.pages is not None
    sequence.num_computed = sequence.num_scheduled = sequence.num_tokens
    compute(cache, sequence.pages, sequence.key_ids)
