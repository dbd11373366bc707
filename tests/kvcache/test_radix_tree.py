"""Matching, splitting, locking and growing, on trees small enough to draw."""

from __future__ import annotations

import random

import pytest

from sglite.kvcache.invariants import check_cache
from sglite.kvcache.page_allocator import TOMBSTONE
from tests.kvcache.building import (
    FULL,
    MIXED,
    WINDOW,
    begin,
    compute,
    ids,
    make_cache,
    num_cached,
    serve,
)


def edges(cache) -> list[str]:
    """Every edge as text, sorted."""
    return sorted("".join(map(chr, node.key)) for node in cache.tree.nodes())


def node_of(cache, text: str):
    """The node whose edge is ``text``."""
    return next(node for node in cache.tree.nodes() if node.key == ids(text))


# -- matching --------------------------------------------------------------------------------------


def test_match_is_the_longest_cached_start_in_whole_pages():
    cache = make_cache()
    serve(cache, "aaaa bbbb cccc d")
    assert num_cached(cache, "aaaa bbbb cccc dddd") == 12
    assert num_cached(cache, "aaaa bbbb ccc") == 8
    assert num_cached(cache, "aaaa bbbb cccx cccc") == 8
    assert num_cached(cache, "aaab") == 0
    assert num_cached(cache, "") == 0


def test_match_stays_below_the_limit():
    cache = make_cache()
    serve(cache, "aaaa bbbb cccc")
    for limit, expected in [(12, 12), (11, 8), (8, 8), (7, 4), (4, 4), (3, 0), (0, 0), (-1, 0)]:
        assert cache.match("", ids("aaaa bbbb cccc"), limit).num_tokens == expected


def test_match_ends_inside_an_edge_without_splitting_it():
    cache = make_cache()
    serve(cache, "aaaa bbbb cccc")
    match = cache.match("", ids("aaaa bbbb xxxx"), 11)
    assert match.num_tokens == 8 and match.node is node_of(cache, "aaaabbbbcccc")
    assert edges(cache) == ["aaaabbbbcccc"]


def test_match_gives_the_pages_that_were_written():
    cache = make_cache()
    pages = begin(cache, ids("aaaa bbbb cccc dd"))
    own = list(pages.page_ids[0])
    compute(cache, pages, ids("aaaa bbbb cccc dd"))
    serve(cache, "aaaa bbbb eeee")
    assert cache.match("", ids("aaaa bbbb cccc dddd"), 15).pages == [own[:3]]


def test_namespaces_share_nothing():
    cache = make_cache()
    serve(cache, "aaaa bbbb", namespace="salt")
    assert num_cached(cache, "aaaa bbbb") == 0
    assert num_cached(cache, "aaaa bbbb", namespace="salt") == 8
    serve(cache, "aaaa bbbb")
    salted, plain = (cache.match(name, ids("aaaa bbbb"), 8).pages[0] for name in ("salt", ""))
    assert not set(salted) & set(plain)


def test_root_of_a_namespace_goes_with_its_last_prefix():
    cache = make_cache()
    serve(cache, "aaaa", namespace="salt")
    assert list(cache.tree.roots) == ["salt"]
    cache.drop_namespace("salt")
    assert not cache.tree.roots


def test_root_stays_while_a_sequence_without_prefix_runs():
    cache = make_cache()
    pages = begin(cache, ids("aaaa bb"))
    cache.flush()
    assert list(cache.tree.roots) == [""]
    cache.release(pages, after_step=None)
    assert not cache.tree.roots


@pytest.mark.parametrize("page_size", [1, 3, 16])
def test_common_part_is_found_wherever_two_prompts_part(page_size):
    rng = random.Random(0)
    prompt = [rng.randrange(3) for _ in range(page_size * 13)]
    cache = make_cache(page_size=page_size)
    pages = begin(cache, prompt)
    compute(cache, pages, prompt)
    for position in range(len(prompt)):
        other = prompt.copy()
        other[position] = 7
        expected = position // page_size * page_size
        assert cache.match("", other, len(other)).num_tokens == expected


# -- growth ----------------------------------------------------------------------------------------


def test_prompts_that_part_share_the_edge_up_to_there():
    cache = make_cache()
    serve(cache, "aaaa bbbb cccc")
    serve(cache, "aaaa bbbb dddd")
    serve(cache, "aaaa eeee")
    assert edges(cache) == ["aaaa", "bbbb", "cccc", "dddd", "eeee"]
    assert cache.tree.num_leaves == 3
    assert cache.tree.num_pages == [5]


def test_chunked_prompt_stays_one_edge():
    cache = make_cache()
    prompt = ids("aaaa bbbb cccc dddd ee")
    pages = begin(cache, prompt)
    for num_computed in (3, 6, 9, 17, 18):
        cache.insert(pages, prompt, num_computed, after_step=None)
        check_cache(cache, [pages])
    assert edges(cache) == ["aaaabbbbccccdddd"]
    assert cache.tree.num_leaves == 1


def test_edge_in_use_by_another_does_not_grow_under_it():
    cache = make_cache()
    first = begin(cache, ids("aaaa bbbb"))
    cache.insert(first, ids("aaaa bbbb"), 4, after_step=None)
    second = begin(cache, ids("aaaa c"))
    cache.insert(first, ids("aaaa bbbb"), 8, after_step=None)
    assert edges(cache) == ["aaaa", "bbbb"]
    check_cache(cache, [first, second])


def test_insert_of_what_is_there_names_the_duplicates():
    cache = make_cache()
    prompt = ids("aaaa bbbb cc")
    first, second = begin(cache, prompt), begin(cache, prompt)
    kept, own = list(first.page_ids[0]), list(second.page_ids[0])
    assert cache.insert(first, prompt, 10, after_step=None) == (2, [])
    num_new, replaced = cache.insert(second, prompt, 10, after_step=None)
    assert num_new == 0 and replaced == [(0, 0, kept[0]), (0, 1, kept[1])]
    assert second.page_ids[0] == [*kept[:2], own[2]]
    check_cache(cache, [first, second])


def test_shorter_insert_splits_what_is_there():
    cache = make_cache()
    short, long = begin(cache, ids("aaaa b")), begin(cache, ids("aaaa bbbb cccc d"))
    compute(cache, long, ids("aaaa bbbb cccc d"))
    compute(cache, short, ids("aaaa b"))
    assert edges(cache) == ["aaaa", "bbbbcccc"]
    check_cache(cache, [short, long])


# -- locks -----------------------------------------------------------------------------------------


def test_split_keeps_the_locks_of_both_halves():
    cache = make_cache()
    long = begin(cache, ids("aaaa bbbb cccc"))
    compute(cache, long, ids("aaaa bbbb cccc"))
    short = begin(cache, ids("aaaa x"))
    upper, lower = node_of(cache, "aaaa"), node_of(cache, "bbbbcccc")
    assert (upper.lock_count, lower.lock_count) == (2, 1)
    assert cache.tree.num_evictable(0) == 0
    cache.release(short, after_step=None)
    assert (upper.lock_count, lower.lock_count) == (1, 1)
    cache.release(long, after_step=None)
    assert (upper.lock_count, lower.lock_count) == (0, 0)
    assert cache.tree.num_evictable(0) == 3


def test_lock_protects_the_whole_path_and_nothing_beside_it():
    cache = make_cache()
    for text in ("aaaa bbbb", "aaaa cccc", "dddd"):
        serve(cache, text)
    pages = begin(cache, ids("aaaa bbbb x"))
    assert cache.tree.num_evictable(0) == 2
    assert cache.evictor.evict(0, 99) == 2
    assert edges(cache) == ["aaaa", "bbbb"]
    check_cache(cache, [pages])


def test_lock_moves_down_with_what_is_inserted():
    cache = make_cache()
    prompt = ids("aaaa bbbb cccc")
    pages = begin(cache, prompt)
    cache.insert(pages, prompt, 4, after_step=None)
    assert cache.evictor.evict(0, 99) == 0
    cache.insert(pages, prompt, 12, after_step=None)
    assert cache.evictor.evict(0, 99) == 0
    assert pages.node.end == 12


def test_unlock_too_many_is_noticed():
    cache = make_cache()
    serve(cache, "aaaa")
    with pytest.raises(AssertionError, match="unlocked more often"):
        cache.tree.unlock(node_of(cache, "aaaa"))


# -- windows ---------------------------------------------------------------------------------------


def test_match_is_cut_back_to_where_the_window_is_present():
    cache = make_cache(MIXED)
    serve(cache, "aaaa bbbb cccc dddd eeee")
    node = node_of(cache, "aaaabbbbccccddddeeee")
    window_pages = list(node.pages[1])
    cache.tree.entomb(node, 1, 1)
    assert node.pages[1] == [TOMBSTONE, *window_pages[1:]]
    assert num_cached(cache, "aaaa bbbb cccc dddd eeee") == 20
    assert num_cached(cache, "aaaa bbbb cccc") == 12
    assert num_cached(cache, "aaaa bbbb") == 0


def test_match_with_a_hole_in_the_window_ends_before_the_hole():
    cache = make_cache(WINDOW)
    serve(cache, "aaaa bbbb cccc dddd")
    node = node_of(cache, "aaaabbbbccccdddd")
    hole = node.pages[0][2]
    others = [page for page in node.pages[0] if page != hole]
    for page in others:
        cache.tree.add_reader(0, page)
    cache.tree.entomb(node, 0, 9)
    for page in others:
        cache.tree.remove_reader(0, page)
    assert [page == TOMBSTONE for page in node.pages[0]] == [False, False, True, False]
    assert num_cached(cache, "aaaa bbbb cccc dddd") == 8


def test_tombstone_is_filled_by_whoever_computes_it_again():
    cache = make_cache(MIXED)
    serve(cache, "aaaa bbbb cccc")
    node = node_of(cache, "aaaabbbbcccc")
    assert cache.tree.entomb(node, 1, 99) == 3
    assert num_cached(cache, "aaaa bbbb cccc") == 0
    full_pages = list(node.pages[0])
    serve(cache, "aaaa bbbb cccc d")
    assert TOMBSTONE not in node.pages[1], "the sequence had all three pages"
    assert node.pages[0] == full_pages, "the full group's pages were there already"
    assert num_cached(cache, "aaaa bbbb cccc") == 12


def test_page_that_a_window_covers_is_not_entombed():
    cache = make_cache(WINDOW)
    prompt = ids("aaaa bbbb cccc dddd e")
    pages = begin(cache, prompt)
    compute(cache, pages, prompt)
    assert pages.first_read == [3]
    assert cache.tree.num_evictable(0) == 3
    assert cache.evictor.evict(0, 99) == 3
    (node,) = cache.tree.nodes()
    assert [page == TOMBSTONE for page in node.pages[0]] == [True, True, True, False]
    check_cache(cache, [pages])


def test_two_readers_of_a_page_leave_one_by_one():
    cache = make_cache(WINDOW)
    serve(cache, "aaaa bbbb")
    first, second = begin(cache, ids("aaaa bbbb c")), begin(cache, ids("aaaa bbbb d"))
    assert cache.tree.num_evictable(0) == 0
    cache.release(first, after_step=None)
    assert cache.tree.num_evictable(0) == 0
    cache.advance(second, 9, after_step=None)
    assert cache.tree.num_evictable(0) == 1, "position 9 reads from position 5 on"
    cache.release(second, after_step=None)
    assert cache.tree.num_evictable(0) == 2


def test_split_parts_the_tombstones_too():
    cache = make_cache(MIXED)
    serve(cache, "aaaa bbbb cccc dddd")
    cache.tree.entomb(node_of(cache, "aaaabbbbccccdddd"), 1, 2)
    serve(cache, "aaaa bbbb cccc eeee")
    assert TOMBSTONE not in node_of(cache, "dddd").pages[1]
    check_cache(cache, [])


# -- what eviction reads ---------------------------------------------------------------------------


def test_hit_counts_for_the_whole_path():
    cache = make_cache()
    serve(cache, "aaaa bbbb")
    serve(cache, "aaaa cccc")
    begin(cache, ids("aaaa bbbb x"))
    hits = {text: node_of(cache, text).num_hits for text in ("aaaa", "bbbb", "cccc")}
    assert hits == {"aaaa": 2, "bbbb": 1, "cccc": 0}


def test_priority_covers_what_is_matched_and_what_is_inserted():
    cache = make_cache(FULL)
    serve(cache, "aaaa bbbb")
    serve(cache, "aaaa cccc", priority=3)
    priorities = {text: node_of(cache, text).priority for text in ("aaaa", "bbbb", "cccc")}
    assert priorities == {"aaaa": 3, "bbbb": 0, "cccc": 3}
