"""What must always be true of the cache; run after every step with ``--check`` and in tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sglite.kvcache.cache_manager import CacheManager, SequencePages
from sglite.kvcache.page_allocator import TOMBSTONE, PageState


def check_cache(cache: CacheManager, sequences: Iterable[SequencePages]) -> None:
    """Assert that every page has one owner and that locks and counts are those of the holders.

    ``sequences`` are all that hold pages, pins left out. Raises AssertionError with the values.
    """
    holders = [*sequences, *cache.pins]
    for group in range(len(cache.groups)):
        _check_owners(cache, holders, group)
        _check_readers(cache, holders, group)
    _check_tree(cache, holders)


def _check_owners(cache: CacheManager, holders: list[SequencePages], group: int) -> None:
    allocator = cache.allocators[group]
    allocator.check()
    in_tree = [p for node in cache.tree.nodes() for p in node.pages[group] if p != TOMBSTONE]
    assert len(in_tree) == len(set(in_tree)), "a page lies in two tree nodes"
    assert set(in_tree) == allocator.pages_in(PageState.TREE), "tree and page states differ"
    assert len(in_tree) == cache.tree.num_pages[group], "the tree's page count is wrong"
    private: list[int] = []
    for holder in holders:
        page_ids = holder.page_ids[group]
        private += [p for p in page_ids[holder.num_tree_pages :] if p != TOMBSTONE]
        covered = page_ids[holder.first_read[group] : holder.num_tree_pages]
        assert set(covered) <= set(in_tree), "a sequence reads pages that the tree has lost"
    assert len(private) == len(set(private)), "two sequences own one page"
    assert set(private) == allocator.pages_in(PageState.SEQUENCE), "a private page leaked"


def _check_readers(cache: CacheManager, holders: list[SequencePages], group: int) -> None:
    if cache.groups[group].window is None:
        return
    readers = Counter(
        page
        for holder in holders
        for page in holder.page_ids[group][holder.first_read[group] : holder.num_tree_pages]
    )
    assert readers == Counter(cache.tree.readers[group]), "window readers differ"


def _check_tree(cache: CacheManager, holders: list[SequencePages]) -> None:
    tree = cache.tree
    locks: Counter[int] = Counter()
    for holder in holders:
        assert holder.node is not None
        assert holder.node.end == holder.num_tree_pages * cache.page_size, "a lock is misplaced"
        locks.update(id(node) for node in holder.node.path())
    num_leaves, locked = 0, [0] * len(tree.groups)
    for node in tree.nodes():
        assert node.parent is not None and node.num_pages > 0
        assert node.parent.children[tuple(node.key[: cache.page_size])] is node
        assert len(node.key) == node.num_pages * cache.page_size == node.end - node.parent.end
        assert node.lock_count == locks[id(node)], "a lock count is not the number of its holders"
        assert node.lock_count <= node.parent.lock_count or node.parent.parent is None
        num_leaves += not node.children
        for group, pages in enumerate(node.pages):
            locked[group] += len(pages) if node.lock_count else 0
    assert num_leaves == tree.num_leaves, "the number of leaves is wrong"
    for group, spec in enumerate(tree.groups):
        if spec.window is None:
            assert locked[group] == tree.num_locked_pages[group], "locked pages are miscounted"
