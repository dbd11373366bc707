"""The façade over allocators and tree: pages for sequences, shared where a prefix is known.

What a sequence holds (page size 4, ``num_tree_pages`` 2, 11 tokens computed):

    page index    0         1         2         3
                | a b c d | e f g h | i j k . | . . . . |
    owner       | tree    | tree    | sequence          |
    protected by| the lock on the node at token 8       |

``insert`` moves the border to the right, ``release`` gives all of it up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sglite.config import CacheOptions
from sglite.kvcache.eviction import Evictor
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.page_allocator import TOMBSTONE, PageAllocator
from sglite.kvcache.radix_tree import PrefixMatch, RadixNode, RadixTree
from sglite.observability.events import EventStream, Evicted, Flushed, PagesCached


class SequencePages:
    """The pages of one running sequence.

    ``page_ids[group][i]`` keeps tokens ``[i * page_size, (i + 1) * page_size)``. The first
    ``num_tree_pages`` belong to the tree, the rest to the sequence. ``first_read[group]`` is the
    first page that its window still covers. ``capacity`` is in tokens. What it inserts inherits
    ``priority``.
    """

    __slots__ = ("capacity", "first_read", "node", "num_tree_pages", "page_ids", "priority")

    def __init__(self, num_groups: int, *, priority: int = 0) -> None:
        self.priority = priority
        self.page_ids: list[list[int]] = [[] for _ in range(num_groups)]
        self.num_tree_pages = 0
        self.node: RadixNode | None = None
        self.first_read = [0] * num_groups
        self.capacity = 0


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counts in tokens. ``num_evicted_tokens`` only grows; the others are of this moment."""

    num_total_tokens: int
    num_free_tokens: int
    num_cached_tokens: int
    num_evictable_tokens: int
    num_deferred_tokens: int
    num_pinned_prefixes: int
    num_prefixes: int
    num_evicted_tokens: int


class CacheManager:
    """Pages of all KV groups of one engine, and the prefixes kept in them.

    ``page_events`` tells of single pages of group 0: ``PagesCached`` and ``PagesDropped``.
    """

    def __init__(
        self,
        groups: Sequence[KVGroup],
        num_pages: Sequence[int],
        options: CacheOptions,
        events: EventStream,
    ) -> None:
        for group in groups:
            assert group.kind in ("paged_full", "paged_window"), f"unsupported KV group: {group}"
        self.groups = tuple(groups)
        self.page_size = options.page_size
        self.page_events = EventStream()
        self.allocators = [PageAllocator(count) for count in num_pages]
        self.allocators[0].events = self.page_events
        self.tree = RadixTree(groups, self.allocators, options.page_size)
        self.evictor = Evictor(self.tree, options.radix_eviction_policy)
        self.num_evicted_pages = 0
        self._options = options
        self._events = events
        self._pins: dict[tuple[str, tuple[int, ...]], SequencePages] = {}
        self._windows = [g for g, group in enumerate(self.groups) if group.window is not None]
        self.has_windows = bool(self._windows)

    # -- room ------------------------------------------------------------------------------------

    @property
    def num_total_tokens(self) -> int:
        """Tokens that fit the smallest group."""
        return min(allocator.num_pages for allocator in self.allocators) * self.page_size

    def num_available_pages(self, group: int = 0) -> int:
        """Pages of ``group`` that are free or could be made free by eviction."""
        return self.allocators[group].num_free + self.tree.num_evictable(group)

    def min_available_pages(self) -> int:
        """The scarcest group's available pages."""
        return min(self.num_available_pages(group) for group in range(len(self.groups)))

    # -- a sequence's life -------------------------------------------------------------------------

    def match(self, namespace: str, key_ids: list[int], max_tokens: int) -> PrefixMatch:
        """The longest cached prefix; see :meth:`RadixTree.match`. Changes nothing."""
        return self.tree.match(namespace, key_ids, max_tokens)

    def acquire(self, match: PrefixMatch, *, priority: int = 0) -> SequencePages:
        """Pages for a sequence that starts from ``match``, locked until ``release``."""
        pages = SequencePages(len(self.groups), priority=priority)
        pages.node = self.tree.lock_match(match, priority=priority)
        pages.page_ids = [list(entries) for entries in match.pages]
        pages.num_tree_pages = len(pages.page_ids[0])
        pages.capacity = match.num_tokens
        for group in self._windows:
            first = self.groups[group].first_needed_page(match.num_tokens, self.page_size)
            pages.first_read[group] = first
            for page in pages.page_ids[group][first:]:
                self.tree.add_reader(group, page)
        return pages

    def try_grow(self, pages: SequencePages, num_tokens: int) -> bool:
        """Add pages until ``num_tokens`` fit; False, and no page taken, if there is no room."""
        wanted = -(-num_tokens // self.page_size) - len(pages.page_ids[0])
        if wanted <= 0:
            return True
        if self.min_available_pages() < wanted:
            return False
        for group, allocator in enumerate(self.allocators):
            missing = wanted - allocator.num_free
            if missing > 0:
                self._evict(group, missing, "pages needed")
            added = allocator.try_allocate(wanted)
            assert added is not None, "eviction freed less than it promised"
            pages.page_ids[group].extend(added)
        pages.capacity += wanted * self.page_size
        return True

    def insert(
        self,
        pages: SequencePages,
        key_ids: list[int],
        num_computed_tokens: int,
        *,
        after_step: int | None,
    ) -> tuple[int, list[tuple[int, int, int]]]:
        """Give the whole written pages of a sequence to the tree.

        Returns the number of pages that were new to the tree, and ``(group, page index, page)``
        for every duplicate that was replaced by the tree's page. Replaced pages are freed after
        step ``after_step``, which may still read them (None: now).
        """
        start = pages.node
        assert start is not None, "only a running sequence can insert"
        end = self._affordable_end(start, num_computed_tokens // self.page_size * self.page_size)
        if end <= start.end:
            return 0, []
        result = self.tree.insert(start, key_ids, end, pages.page_ids, priority=pages.priority)
        self.tree.extend_lock(start, result.node)
        pages.node = result.node
        replaced = []
        for group, index, tree_page, own in result.duplicates:
            pages.page_ids[group][index] = tree_page
            self.allocators[group].free_from_sequence([own], after_step=after_step)
            replaced.append((group, index, tree_page))
        first_page, pages.num_tree_pages = pages.num_tree_pages, end // self.page_size
        self._add_readers(pages, first_page, pages.num_tree_pages)
        if self.page_events.active:
            added = pages.page_ids[0], first_page, pages.num_tree_pages
            self.page_events.emit(PagesCached(start.namespace, key_ids, *added))
        self._enforce_max_entries()
        return result.num_new_pages, replaced

    def advance(self, pages: SequencePages, num_tokens: int, *, after_step: int | None) -> None:
        """Let go of pages that the windows have left behind at position ``num_tokens``."""
        for group in self._windows:
            first = self.groups[group].first_needed_page(num_tokens, self.page_size)
            self._leave(pages, group, first, after_step)

    def release(self, pages: SequencePages, *, after_step: int | None) -> None:
        """Give up everything; private pages are freed after step ``after_step`` (None: now)."""
        assert pages.node is not None, "pages were released twice"
        for group in self._windows:
            self._leave(pages, group, len(pages.page_ids[group]), after_step)
        for group, allocator in enumerate(self.allocators):
            own = [p for p in pages.page_ids[group][pages.num_tree_pages :] if p != TOMBSTONE]
            allocator.free_from_sequence(own, after_step=after_step)
        node, pages.node = pages.node, None
        pages.page_ids, pages.capacity = [[] for _ in self.groups], 0
        self.evictor.note_unused(self.tree.unlock(node))
        self._enforce_max_entries()

    def commit_step(self, step_id: int) -> None:
        """Step ``step_id`` is done: free what waited for it."""
        for allocator in self.allocators:
            allocator.release_deferred(step_id)

    # -- whole-cache operations ------------------------------------------------------------------

    def pin(self, namespace: str, key_ids: list[int]) -> int:
        """Keep the cached whole pages of ``key_ids`` until ``unpin``; returns their tokens."""
        match = self.tree.match(namespace, key_ids, len(key_ids))
        key = (namespace, tuple(key_ids))
        old = self._pins.get(key)
        if match.num_tokens > (old.capacity if old else 0):
            self._pins[key] = self.acquire(match)
            if old is not None:
                self.release(old, after_step=None)
        return match.num_tokens

    def unpin(self, namespace: str, key_ids: list[int]) -> bool:
        """Undo ``pin``; False if nothing was pinned under these ids."""
        pages = self._pins.pop((namespace, tuple(key_ids)), None)
        if pages is None:
            return False
        self.release(pages, after_step=None)
        return True

    def drop_namespace(self, namespace: str) -> None:
        """Forget the unused prefixes of one namespace."""
        self.evictor.evict_namespace(namespace)

    def flush(self) -> int:
        """Forget every prefix that is neither pinned nor in use; returns the pages freed."""
        before = self.tree.num_pages[0]
        for namespace in list(self.tree.roots):
            self.evictor.evict_namespace(namespace)
        freed = before - self.tree.num_pages[0]
        if self._events.active:
            self._events.emit(Flushed(freed))
        return freed

    def count_pinned_tokens(self) -> int:
        """Tokens of the pinned prefixes; what two of them share counts twice."""
        return sum(pages.capacity for pages in self._pins.values())

    def count_leaked_pages(self) -> list[int]:
        """Per group, pages that are neither free nor in the tree: 0 while no sequence runs."""
        counts = zip(self.allocators, self.tree.num_pages, strict=True)
        return [pages.num_pages - pages.num_free - in_tree for pages, in_tree in counts]

    def stats(self) -> CacheStats:
        """The first group's counts."""
        allocator, size = self.allocators[0], self.page_size
        return CacheStats(
            num_total_tokens=allocator.num_pages * size,
            num_free_tokens=allocator.num_free * size,
            num_cached_tokens=self.tree.num_pages[0] * size,
            num_evictable_tokens=self.tree.num_evictable(0) * size,
            num_deferred_tokens=allocator.num_deferred * size,
            num_pinned_prefixes=len(self._pins),
            num_prefixes=self.tree.num_leaves,
            num_evicted_tokens=self.num_evicted_pages * size,
        )

    @property
    def pins(self) -> Iterable[SequencePages]:
        """What pinned prefixes hold; for checks."""
        return self._pins.values()

    # -- internals -------------------------------------------------------------------------------

    def _evict(self, group: int, num_pages: int, reason: str) -> int:
        before = self.tree.num_pages[0]
        freed = self.evictor.evict(group, num_pages)
        self.num_evicted_pages += before - self.tree.num_pages[0]
        if freed and self._events.active:
            self._events.emit(Evicted(group, freed, reason))
        return freed

    def _affordable_end(self, start: RadixNode, end: int) -> int:
        """Cut ``end`` so that the tree stays within ``radix_cache_max_tokens``."""
        limit = self._options.radix_cache_max_tokens
        if limit is None or end <= start.end:
            return end
        wanted = (end - start.end) // self.page_size
        excess = self.tree.num_pages[0] + wanted - limit // self.page_size
        if excess > 0:
            excess -= self._evict(0, excess, "radix_cache_max_tokens")
        return end - max(0, excess) * self.page_size

    def _enforce_max_entries(self) -> None:
        limit = self._options.radix_cache_max_entries
        while limit is not None and self.tree.num_leaves > limit:
            before = self.tree.num_pages[0]
            if not self.evictor.evict_leaf():
                return
            freed = before - self.tree.num_pages[0]
            self.num_evicted_pages += freed
            if self._events.active:
                self._events.emit(Evicted(0, freed, "radix_cache_max_entries"))

    def _add_readers(self, pages: SequencePages, first: int, end: int) -> None:
        for group in self._windows:
            for page in pages.page_ids[group][max(first, pages.first_read[group]) : end]:
                self.tree.add_reader(group, page)

    def _leave(self, pages: SequencePages, group: int, first: int, after_step: int | None) -> None:
        """Move ``first_read`` to ``first``: readers of tree pages go, own pages are freed."""
        page_ids = pages.page_ids[group]
        own = []
        for index in range(pages.first_read[group], min(first, len(page_ids))):
            if index < pages.num_tree_pages:
                self.tree.remove_reader(group, page_ids[index])
            else:
                own.append(page_ids[index])
                page_ids[index] = TOMBSTONE
        pages.first_read[group] = max(pages.first_read[group], min(first, len(page_ids)))
        self.allocators[group].free_from_sequence(own, after_step=after_step)
