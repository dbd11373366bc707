"""Who goes first, and how much of it."""

from __future__ import annotations

import random

import pytest

from sglite.kvcache.eviction import POLICIES
from sglite.kvcache.invariants import check_cache
from sglite.kvcache.page_allocator import TOMBSTONE
from tests.kvcache.building import MIXED, WINDOW, begin, compute, ids, make_cache, num_cached, serve


def order_of_eviction(cache, texts: list[str]) -> list[str]:
    """``texts`` in the order in which their last page goes."""
    gone: list[str] = []
    while cache.evictor.evict(0, 1):
        gone += [text for text in texts if text not in gone and not num_cached(cache, text)]
        check_cache(cache, [])
    return gone


def test_lru_drops_the_longest_unused_first():
    cache = make_cache()
    for text in ("aaaa", "bbbb", "cccc"):
        serve(cache, text)
    serve(cache, "aaaa x")
    assert order_of_eviction(cache, ["aaaa", "bbbb", "cccc"]) == ["bbbb", "cccc", "aaaa"]


def test_lfu_drops_the_least_hit_first_and_among_equals_the_oldest():
    cache = make_cache(radix_eviction_policy="lfu")
    for text in ("aaaa", "bbbb", "cccc", "aaaa x", "aaaa x", "bbbb x", "dddd"):
        serve(cache, text)
    texts = ["aaaa", "bbbb", "cccc", "dddd"]
    assert order_of_eviction(cache, texts) == ["cccc", "dddd", "bbbb", "aaaa"]


def test_lfu_counts_a_shared_start_as_often_as_all_that_is_below_it():
    cache = make_cache(radix_eviction_policy="lfu")
    for text in ("aaaa bbbb", "aaaa cccc", "aaaa bbbb x", "aaaa cccc x", "dddd", "dddd x"):
        serve(cache, text)
    assert cache.evictor.evict(0, 3) == 3
    assert num_cached(cache, "dddd") == 0, "one hit"
    assert num_cached(cache, "aaaa") == 4, "older, but three hits by way of its continuations"


def test_priority_drops_the_lowest_first_and_among_equals_the_oldest():
    cache = make_cache(radix_eviction_policy="priority")
    for text, priority in [("aaaa", 2), ("bbbb", 0), ("cccc", 1), ("dddd", 0)]:
        serve(cache, text, priority=priority)
    texts = ["aaaa", "bbbb", "cccc", "dddd"]
    assert order_of_eviction(cache, texts) == ["bbbb", "dddd", "cccc", "aaaa"]


def test_prefix_goes_from_its_tail():
    cache = make_cache()
    serve(cache, "aaaa bbbb cccc dddd")
    assert cache.evictor.evict(0, 1) == 1
    assert num_cached(cache, "aaaa bbbb cccc dddd") == 12
    assert cache.evictor.evict(0, 2) == 2
    assert num_cached(cache, "aaaa bbbb cccc dddd") == 4


def test_shared_start_goes_after_all_that_continues_it():
    cache = make_cache()
    for text in ("aaaa bbbb", "aaaa cccc"):
        serve(cache, text)
    found = []
    while cache.evictor.evict(0, 1):
        found.append([num_cached(cache, text) for text in ("aaaa bbbb", "aaaa cccc")])
    assert found == [[4, 8], [4, 4], [0, 0]]


def test_no_more_is_freed_than_asked_for():
    cache = make_cache()
    for letter in "abcdef":
        serve(cache, letter * 12)
    assert cache.evictor.evict(0, 7) == 7
    assert cache.tree.num_pages == [11]


def test_all_that_is_unused_goes_when_too_much_is_asked_for():
    cache = make_cache()
    serve(cache, "aaaa bbbb")
    pages = begin(cache, ids("aaaa c"))
    assert cache.evictor.evict(0, 99) == 1
    assert cache.evictor.evict(0, 1) == 0
    check_cache(cache, [pages])


def test_leaf_that_was_used_again_is_not_taken_for_its_old_entry():
    cache = make_cache()
    for text in ("aaaa", "bbbb", "aaaa x", "bbbb x", "aaaa x"):
        serve(cache, text)
    cache.evictor.evict(0, 1)
    assert (num_cached(cache, "aaaa"), num_cached(cache, "bbbb")) == (4, 0)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_frees_everything_in_the_end(policy):
    rng = random.Random(0)
    cache = make_cache(num_pages=200, radix_eviction_policy=policy)
    for _ in range(60):
        text = "".join(rng.choice("ab") * 4 for _ in range(rng.randint(1, 6)))
        serve(cache, text, priority=rng.randrange(3))
    num_pages = cache.tree.num_pages[0]
    assert cache.evictor.evict(0, 999) == num_pages > 20
    assert not cache.tree.roots and cache.tree.num_leaves == 0


def test_heap_does_not_grow_with_every_use():
    cache = make_cache()
    for _ in range(1000):
        serve(cache, "aaaa bb")
    assert len(cache.evictor._heap) < 100
    assert cache.evictor.evict(0, 1) == 1


def test_leaf_that_goes_first_goes_as_a_whole():
    cache = make_cache()
    serve(cache, "aaaa bbbb")
    serve(cache, "cccc")
    assert cache.evictor.evict_leaf()
    assert (num_cached(cache, "aaaa"), num_cached(cache, "cccc")) == (0, 4)
    assert cache.evictor.evict_leaf()
    assert not cache.evictor.evict_leaf()


def test_namespace_is_dropped_but_for_what_is_in_use():
    cache = make_cache()
    for namespace in ("one", "two"):
        serve(cache, "aaaa bbbb cccc", namespace=namespace)
    pages = begin(cache, ids("aaaa x"), namespace="one")
    cache.evictor.evict_namespace("one")
    assert num_cached(cache, "aaaa bbbb", namespace="one") == 4
    assert num_cached(cache, "aaaa bbbb", namespace="two") == 8
    cache.evictor.evict_namespace("unknown")
    check_cache(cache, [pages])


# -- windows ---------------------------------------------------------------------------------------


def test_window_group_gives_up_unread_pages_under_a_lock():
    cache = make_cache(MIXED)
    prompt = ids("aaaa bbbb cccc dddd e")
    pages = begin(cache, prompt)
    compute(cache, pages, prompt)
    assert [cache.tree.num_evictable(group) for group in (0, 1)] == [0, 3]
    assert cache.evictor.evict(1, 2) == 2
    (node,) = cache.tree.nodes()
    assert TOMBSTONE not in node.pages[0], "the full group reads them all"
    assert node.pages[1].count(TOMBSTONE) == 2
    check_cache(cache, [pages])


def test_unused_leaf_goes_whole_when_a_window_group_needs_pages():
    cache = make_cache(MIXED)
    serve(cache, "aaaa bbbb")
    serve(cache, "cccc dddd")
    assert cache.evictor.evict(1, 1) == 2
    assert cache.tree.num_pages == [2, 2]
    assert num_cached(cache, "cccc dddd") == 8


def test_window_group_frees_all_that_is_unread_if_need_be():
    cache = make_cache(WINDOW)
    for text in ("aaaa bbbb cccc", "aaaa bbbb dddd", "eeee"):
        serve(cache, text)
    pages = begin(cache, ids("aaaa bbbb dddd x"))
    evictable = cache.tree.num_evictable(0)
    assert cache.evictor.evict(0, 99) == evictable == 3
    assert num_cached(cache, "aaaa bbbb dddd") == 12
    check_cache(cache, [pages])
