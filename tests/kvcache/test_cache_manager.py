"""The façade: a sequence's pages from match to release, limits, pins and flush."""

from __future__ import annotations

import pytest

from sglite.kvcache.cache_manager import CacheManager
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.invariants import check_cache
from sglite.kvcache.page_allocator import TOMBSTONE, PageState
from sglite.observability.events import Event, Evicted, Flushed, PagesCached, PagesDropped
from tests.kvcache.building import (
    FULL,
    MIXED,
    PAGE,
    WINDOW,
    begin,
    compute,
    ids,
    make_cache,
    num_cached,
    serve,
)

LONG = "aaaa bbbb cccc dddd eeee ffff gggg hhhh"


# -- room ------------------------------------------------------------------------------------------


def test_group_of_a_later_kind_is_refused():
    with pytest.raises(AssertionError, match="unsupported KV group"):
        make_cache((KVGroup("state", (0,)),))


def test_sequence_grows_by_whole_pages():
    cache = make_cache(num_pages=4)
    pages = cache.acquire(cache.match("", [], 0))
    capacities = []
    for num_tokens in (1, 4, 5, 13):
        assert cache.try_grow(pages, num_tokens)
        capacities.append(pages.capacity)
    assert capacities == [4, 4, 8, 16]
    assert not cache.try_grow(pages, 17)


def test_refused_growth_takes_and_evicts_nothing():
    cache = make_cache(num_pages=6)
    serve(cache, "aaaa bbbb")
    pages = begin(cache, ids("cccc d"))
    assert not cache.try_grow(pages, 8 + 4 * 5)
    assert len(pages.page_ids[0]) == 2 and cache.allocators[0].num_free == 2
    assert num_cached(cache, "aaaa bbbb") == 8
    check_cache(cache, [pages])


def test_growth_evicts_just_what_is_missing():
    events = []
    cache = make_cache(num_pages=6, events=events)
    serve(cache, "aaaa bbbb cccc dddd")
    pages = begin(cache, ids("eeee ffff gggg"))
    assert cache.allocators[0].num_free == 0
    assert num_cached(cache, "aaaa bbbb cccc dddd") == 12
    assert events == [Evicted(0, 1, "pages needed")]
    assert cache.stats().num_evicted_tokens == 4
    check_cache(cache, [pages])


def test_scarcest_group_decides():
    cache = make_cache(MIXED, num_pages=8)
    assert cache.allocators[1].try_allocate(6)
    assert cache.min_available_pages() == 2
    pages = cache.acquire(cache.match("", [], 0))
    assert not cache.try_grow(pages, 12)
    assert cache.allocators[0].num_free == 8, "no group gave pages"
    assert cache.try_grow(pages, 8)


def test_available_pages_are_those_free_or_unused():
    cache = make_cache(num_pages=10)
    serve(cache, "aaaa bbbb cccc")
    pages = begin(cache, ids("aaaa xx"))
    assert cache.num_available_pages() == 10 - 1 - 1
    cache.release(pages, after_step=None)
    assert cache.num_available_pages() == 10


# -- a sequence's life -----------------------------------------------------------------------------


def test_acquired_prefix_is_the_trees_and_counts_as_capacity():
    cache = make_cache()
    serve(cache, "aaaa bbbb cccc")
    match = cache.match("", ids("aaaa bbbb xx"), 9)
    pages = cache.acquire(match)
    assert (pages.capacity, pages.num_tree_pages, pages.node.end) == (8, 2, 8)
    assert pages.page_ids == match.pages
    assert set(pages.page_ids[0]) <= cache.allocators[0].pages_in(PageState.TREE)


def test_only_whole_written_pages_are_inserted():
    cache = make_cache()
    prompt = ids("aaaa bbbb cc")
    pages = begin(cache, prompt)
    for num_computed, expected in [(3, 0), (4, 4), (7, 4), (10, 8)]:
        cache.insert(pages, prompt, num_computed, after_step=None)
        assert num_cached(cache, "aaaa bbbb cc") == expected
        check_cache(cache, [pages])


def test_insert_of_less_than_is_there_changes_nothing():
    cache = make_cache()
    prompt = ids("aaaa bbbb")
    pages = begin(cache, prompt)
    cache.insert(pages, prompt, 8, after_step=None)
    assert cache.insert(pages, prompt, 4, after_step=None) == (0, [])
    assert pages.num_tree_pages == 2


def test_duplicate_is_replaced_now_and_freed_late():
    cache = make_cache()
    prompt = ids("aaaa bbbb")
    first, second = begin(cache, prompt), begin(cache, prompt)
    kept, own = list(first.page_ids[0]), list(second.page_ids[0])
    cache.insert(first, prompt, 8, after_step=None)
    cache.insert(second, prompt, 8, after_step=7)
    assert second.page_ids[0] == kept
    assert cache.allocators[0].pages_in(PageState.DEFERRED) == set(own)
    cache.commit_step(6)
    assert cache.allocators[0].num_deferred == 2
    cache.commit_step(7)
    assert set(own) <= cache.allocators[0].pages_in(PageState.FREE)
    check_cache(cache, [first, second])


def test_private_pages_are_deferred_until_their_step():
    cache = make_cache(num_pages=4)
    prompt = ids("aaaa bbbb cc")
    pages = begin(cache, prompt)
    cache.insert(pages, prompt, 4, after_step=None)
    cache.release(pages, after_step=3)
    assert cache.stats().num_deferred_tokens == 8
    assert cache.allocators[0].try_allocate(2) is None
    cache.commit_step(3)
    assert cache.allocators[0].num_free == 3
    check_cache(cache, [])


def test_pages_cannot_be_released_twice():
    cache = make_cache()
    pages = begin(cache, ids("aaaa"))
    cache.release(pages, after_step=None)
    assert pages.page_ids == [[]] and pages.capacity == 0
    with pytest.raises(AssertionError, match="released twice"):
        cache.release(pages, after_step=None)


def test_released_sequence_cannot_insert():
    cache = make_cache()
    pages = begin(cache, ids("aaaa"))
    cache.release(pages, after_step=None)
    with pytest.raises(AssertionError, match="only a running sequence"):
        cache.insert(pages, ids("aaaa"), 4, after_step=None)


# -- windows ---------------------------------------------------------------------------------------


def test_window_gives_up_private_pages_that_it_has_left():
    cache = make_cache(MIXED)
    pages = begin(cache, ids(LONG))
    cache.advance(pages, 17, after_step=None)
    assert pages.page_ids[1][:4] == [TOMBSTONE] * 3 + [pages.page_ids[1][3]]
    assert TOMBSTONE not in pages.page_ids[0]
    assert [allocator.num_free for allocator in cache.allocators] == [24, 27]
    cache.advance(pages, 9, after_step=None)
    assert pages.first_read == [0, 3], "a window never goes back"
    check_cache(cache, [pages])


def test_page_left_by_the_window_waits_for_the_step_that_reads_it():
    cache = make_cache(WINDOW)
    pages = begin(cache, ids(LONG))
    cache.advance(pages, 17, after_step=2)
    assert cache.allocators[0].num_deferred == 3
    cache.commit_step(2)
    assert cache.allocators[0].num_free == 27


def test_window_of_a_cached_prefix_reads_only_its_end():
    cache = make_cache(MIXED)
    serve(cache, LONG)
    pages = begin(cache, ids(LONG + "x"))
    assert pages.first_read == [0, 6]
    assert cache.tree.num_evictable(1) == 6
    check_cache(cache, [pages])


def test_what_a_window_has_left_is_inserted_as_a_hole():
    cache = make_cache(MIXED)
    prompt = ids("aaaa bbbb cccc dddd e")
    pages = begin(cache, prompt)
    cache.advance(pages, 17, after_step=None)
    cache.insert(pages, prompt, 17, after_step=None)
    (node,) = cache.tree.nodes()
    assert [page == TOMBSTONE for page in node.pages[1]] == [True, True, True, False]
    assert cache.tree.num_pages == [4, 1]
    check_cache(cache, [pages])


def test_cached_prefix_survives_while_only_its_window_is_in_use():
    cache = make_cache(WINDOW, num_pages=8)
    serve(cache, "aaaa bbbb cccc dddd")
    pages = begin(cache, ids("aaaa bbbb cccc dddd e"))
    other = begin(cache, ids("ffff gggg hhhh iiii jj"))
    assert cache.match("", ids("aaaa bbbb cccc dddd"), 16).num_tokens == 16
    check_cache(cache, [pages, other])


# -- limits ----------------------------------------------------------------------------------------


def test_token_budget_is_never_exceeded():
    cache = make_cache(radix_cache_max_tokens=20)
    prompt = ids(LONG)
    pages = begin(cache, prompt)
    for num_computed in range(len(prompt) + 1):
        cache.insert(pages, prompt, num_computed, after_step=None)
        assert cache.stats().num_cached_tokens <= 20
        check_cache(cache, [pages])
    assert pages.num_tree_pages == 5
    cache.release(pages, after_step=None)
    serve(cache, "xxxx yyyy")
    assert num_cached(cache, "xxxx yyyy") == 8, "the new evicts the old"
    assert cache.stats().num_cached_tokens == 20


def test_budget_that_is_no_multiple_of_the_page_is_kept():
    cache = make_cache(radix_cache_max_tokens=11)
    serve(cache, LONG)
    assert cache.stats().num_cached_tokens == 8


def test_budget_of_nothing_caches_nothing():
    cache = make_cache(radix_cache_max_tokens=0)
    serve(cache, LONG)
    assert cache.stats().num_cached_tokens == 0


def test_seventeenth_entry_evicts():
    events = []
    cache = make_cache(num_pages=64, events=events, radix_cache_max_entries=16)
    texts = [chr(ord("a") + i) * 8 for i in range(17)]
    for text in texts[:16]:
        serve(cache, text)
    assert cache.stats().num_prefixes == 16 and not events
    serve(cache, texts[0] + "x")  # used again: no longer the one to go
    serve(cache, texts[16])
    assert cache.stats().num_prefixes == 16
    assert [text for text in texts if not num_cached(cache, text)] == [texts[1]]
    assert events == [Evicted(0, 2, "radix_cache_max_entries")]


def test_entries_in_use_are_counted_when_they_end():
    cache = make_cache(radix_cache_max_entries=2)
    running = [begin(cache, ids(letter * 8)) for letter in "abcd"]
    for pages, letter in zip(running, "abcd", strict=True):
        compute(cache, pages, ids(letter * 8))
    assert cache.stats().num_prefixes == 4, "all of them are in use"
    for pages in running:
        cache.release(pages, after_step=None)
    assert cache.stats().num_prefixes == 2
    check_cache(cache, [])


def test_no_entries_means_none_is_kept():
    cache = make_cache(radix_cache_max_entries=0)
    serve(cache, "aaaa bbbb")
    assert cache.stats().num_prefixes == 0


def test_entry_of_holes_alone_does_not_stop_the_limit():
    cache = make_cache(WINDOW, radix_cache_max_entries=1)
    serve(cache, "aaaa bbbb")
    cache.tree.entomb(next(cache.tree.nodes()), 0, 9)
    serve(cache, "cccc dddd")
    assert cache.stats().num_prefixes == 1
    assert num_cached(cache, "cccc dddd") == 8


# -- pins and the whole cache ----------------------------------------------------------------------


def test_pin_survives_eviction_and_flush():
    cache = make_cache()
    for text in ("aaaa bbbb cccc", "dddd"):
        serve(cache, text)
    assert cache.pin("", ids("aaaa bbbb xx")) == 8
    assert cache.evictor.evict(0, 99) == 2
    assert cache.flush() == 0
    assert num_cached(cache, "aaaa bbbb") == 8
    assert cache.stats().num_pinned_prefixes == 1
    check_cache(cache, [])


def test_unpinned_prefix_can_go():
    cache = make_cache()
    serve(cache, "aaaa bbbb")
    cache.pin("", ids("aaaa bbbb"))
    assert cache.unpin("", ids("aaaa bbbb"))
    assert not cache.unpin("", ids("aaaa bbbb"))
    assert cache.evictor.evict(0, 99) == 2


def test_pin_of_something_unknown_pins_nothing():
    cache = make_cache()
    assert cache.pin("", ids("aaaa")) == 0
    assert not cache.unpin("", ids("aaaa"))
    assert not cache.tree.roots


def test_same_pin_again_covers_what_was_cached_since():
    cache = make_cache()
    serve(cache, "aaaa")
    assert cache.pin("", ids("aaaa bbbb")) == 4
    serve(cache, "aaaa bbbb")
    assert cache.pin("", ids("aaaa bbbb")) == 8
    cache.flush()
    assert num_cached(cache, "aaaa bbbb") == 8
    assert cache.unpin("", ids("aaaa bbbb"))
    assert cache.flush() == 2


def test_pins_of_two_namespaces_are_two():
    cache = make_cache()
    for namespace in ("", "salt"):
        serve(cache, "aaaa", namespace=namespace)
        cache.pin(namespace, ids("aaaa"))
    assert cache.unpin("salt", ids("aaaa"))
    assert cache.flush() == 1
    assert num_cached(cache, "aaaa") == 4


def test_flush_keeps_what_runs_and_says_what_went():
    events = []
    cache = make_cache(events=events)
    serve(cache, "aaaa bbbb")
    serve(cache, "cccc", namespace="salt")
    pages = begin(cache, ids("aaaa x"))
    assert cache.flush() == 2
    assert events == [Flushed(2)]
    assert num_cached(cache, "aaaa bbbb") == 4
    cache.release(pages, after_step=None)
    assert cache.flush() == 1
    assert cache.allocators[0].num_free == 32


def test_stats_add_up():
    cache = make_cache()
    serve(cache, "aaaa bbbb cccc")
    pages = begin(cache, ids("aaaa xx"))
    stats = cache.stats()
    assert stats.num_total_tokens == cache.num_total_tokens == 128
    assert stats.num_free_tokens == 128 - 12 - 4
    assert (stats.num_cached_tokens, stats.num_evictable_tokens) == (12, 8)
    assert (stats.num_prefixes, stats.num_pinned_prefixes) == (1, 0)
    cache.release(pages, after_step=None)


def test_evicted_tokens_are_counted_in_the_first_group():
    cache = make_cache(MIXED, num_pages=6)
    serve(cache, "aaaa bbbb cccc")
    begin(cache, ids("dddd eeee ffff gggg"))
    assert cache.stats().num_evicted_tokens == 4
    assert cache.stats().num_cached_tokens == 8


def test_windows_are_known_by_the_groups():
    assert [make_cache(groups).has_windows for groups in (FULL, WINDOW, MIXED)] == [
        False,
        True,
        True,
    ]


# -- what is told of single pages ------------------------------------------------------------------


def told_pages(cache: CacheManager) -> list[tuple[str, list[int]]]:
    """What came and went, as it is told from now on."""
    told: list[tuple[str, list[int]]] = []

    def take(event: Event) -> None:
        if isinstance(event, PagesCached):
            assert len(event.key_ids) >= event.end_page * PAGE
            told.append(("cached", list(event.page_ids[event.first_page : event.end_page])))
        elif isinstance(event, PagesDropped):
            told.append(("dropped", list(event.page_ids)))

    cache.page_events.subscribe(take)
    return told


def test_pages_of_the_first_group_are_told_when_they_come_and_go() -> None:
    cache = make_cache(MIXED)
    told = told_pages(cache)
    serve(cache, "aaaabbbbc")
    serve(cache, "aaaadddd")
    shared, own = told[0][1], told[1][1]
    assert [kind for kind, _ in told] == ["cached", "cached"] and len(shared) == 2
    assert len(own) == 1 and own != shared[1:], "the start was cached before it began"
    cache.flush()
    dropped = [page for kind, pages in told[2:] for page in pages if kind == "dropped"]
    assert sorted(dropped) == sorted(shared + own)


def test_a_duplicate_is_told_as_the_page_that_stays() -> None:
    cache = make_cache()
    told = told_pages(cache)
    first, second = begin(cache, ids("aaaabbbb")), begin(cache, ids("aaaabbbb"))
    compute(cache, first, ids("aaaabbbb"))
    compute(cache, second, ids("aaaabbbb"))
    assert told == [("cached", first.page_ids[0])] * 2
