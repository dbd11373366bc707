"""Each thing that can be wrong with the cache is named by the check."""

from __future__ import annotations

import pytest

from sglite.kvcache.invariants import check_cache
from tests.kvcache.building import MIXED, begin, compute, ids, make_cache, serve


@pytest.fixture
def cache():
    cache = make_cache(MIXED)
    serve(cache, "aaaa bbbb cccc")
    serve(cache, "aaaa bbbb dddd")
    return cache


@pytest.fixture
def pages(cache):
    prompt = ids("aaaa bbbb cccc eeee f")
    pages = begin(cache, prompt)
    compute(cache, pages, prompt)
    check_cache(cache, [pages])
    return pages


def leaf_of(cache):
    return next(node for node in cache.tree.nodes() if not node.children)


def test_pins_are_counted_as_holders(cache, pages):
    cache.pin("", ids("aaaa bbbb dddd"))
    check_cache(cache, [pages])


def test_forgotten_sequence_is_a_leak(cache, pages):
    with pytest.raises(AssertionError, match="a private page leaked"):
        check_cache(cache, [])


def test_lock_without_holder_is_noticed(cache, pages):
    cache.acquire(cache.match("", ids("aaaa bbbb"), 8))
    with pytest.raises(AssertionError, match="window readers differ|lock count"):
        check_cache(cache, [pages])


def test_released_lock_of_a_holder_is_noticed(cache, pages):
    cache.tree.unlock(pages.node)
    with pytest.raises(AssertionError, match="lock"):
        check_cache(cache, [pages])


def test_page_in_two_nodes_is_noticed(cache, pages):
    first, second = list(cache.tree.nodes())[:2]
    second.pages[0][0] = first.pages[0][0]
    with pytest.raises(AssertionError, match="two tree nodes"):
        check_cache(cache, [pages])


def test_page_of_two_sequences_is_noticed(cache, pages):
    other = begin(cache, ids("gggg h"))
    other.page_ids[0][1] = pages.page_ids[0][-1]
    with pytest.raises(AssertionError, match="two sequences own one page"):
        check_cache(cache, [pages, other])


def test_lost_page_of_a_node_is_noticed(cache, pages):
    cache.allocators[0].free_from_tree([leaf_of(cache).pages[0][0]])
    with pytest.raises(AssertionError, match="tree and page states differ"):
        check_cache(cache, [pages])


def test_page_read_through_a_window_must_be_in_the_tree(cache, pages):
    pages.page_ids[1][pages.first_read[1]] = 31
    with pytest.raises(AssertionError, match="tree has lost"):
        check_cache(cache, [pages])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tree: tree.num_pages.__setitem__(0, 0),
        lambda tree: tree.num_locked_pages.__setitem__(0, 0),
        lambda tree: setattr(tree, "num_leaves", 9),
        lambda tree: tree.readers[1].clear(),
        lambda tree: tree.add_reader(1, next(iter(tree.readers[1]))),
        lambda tree: tree.roots[""].children.update({(0, 0, 0, 0): next(tree.nodes())}),
    ],
    ids=["pages", "locked", "leaves", "no readers", "readers", "two parents"],
)
def test_wrong_count_is_noticed(cache, pages, spoil):
    spoil(cache.tree)
    with pytest.raises(AssertionError):
        check_cache(cache, [pages])
