"""Which unused prefix goes first when pages are needed: LRU, LFU or lowest priority.

A full group frees pages from the tails of unused leaves, so that what remains is still a prefix.
A window group may also give up unread pages inside a path and leaves tombstones there.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from sglite.kvcache.page_allocator import TOMBSTONE
from sglite.kvcache.radix_tree import RadixNode, RadixTree

EvictionKey = tuple[int, ...]

POLICIES: dict[str, Callable[[RadixNode], EvictionKey]] = {
    "lru": lambda node: (node.last_used,),
    "lfu": lambda node: (node.num_hits, node.last_used),
    "priority": lambda node: (node.priority, node.last_used),
}
"""Name -> sort key; the node with the smallest key goes first."""


class Evictor:
    """Frees pages of a tree in the order of a policy.

    Unused leaves wait in a heap. An entry is stale once its leaf was used, grew or was noted
    again; it is dropped when it comes up.
    """

    def __init__(self, tree: RadixTree, policy: str) -> None:
        self._tree = tree
        self._key = POLICIES[policy]
        self._heap: list[tuple[EvictionKey, int, int, RadixNode]] = []
        self._order = count()

    def note_unused(self, leaf: RadixNode | None) -> None:
        """``leaf`` has become an unlocked leaf (None: nothing has)."""
        if leaf is None or leaf.parent is None or leaf.children or leaf.lock_count:
            return
        leaf.stamp += 1
        heapq.heappush(self._heap, (self._key(leaf), next(self._order), leaf.stamp, leaf))
        if len(self._heap) > 64 + 4 * self._tree.num_leaves:
            self._heap = [entry for entry in self._heap if self._is_current(entry)]
            heapq.heapify(self._heap)

    def evict(self, group: int, num_pages: int) -> int:
        """Free at least ``num_pages`` of ``group``, or all that is unused; returns how many."""
        if self._tree.groups[group].window is None:
            return self._evict_leaves(group, num_pages)
        return self._evict_window(group, num_pages)

    def evict_leaf(self) -> bool:
        """Free the whole leaf that goes first; False if every leaf is in use."""
        leaf = self._pop_unused()
        if leaf is None:
            return False
        self._cut(leaf, 0, leaf.num_pages)
        return True

    def evict_namespace(self, namespace: str) -> None:
        """Free all that is unused under one root."""
        root = self._tree.roots.get(namespace)
        stack = list(root.children.values()) if root else []
        nodes = []
        while stack:
            nodes.append(stack.pop())
            stack.extend(nodes[-1].children.values())
        for node in reversed(nodes):
            if not node.children and node.lock_count == 0:
                self._tree.trim_leaf(node, node.num_pages)

    def _evict_leaves(self, group: int, num_pages: int) -> int:
        freed = 0
        while freed < num_pages:
            leaf = self._pop_unused()
            if leaf is None:
                break
            freed += self._cut(leaf, group, min(leaf.num_pages, num_pages - freed))
        return freed

    def _evict_window(self, group: int, num_pages: int) -> int:
        tree, freed = self._tree, 0
        for node in sorted(tree.nodes(), key=self._key):
            if freed >= num_pages:
                break
            if node.stamp != -1 and not node.children and node.lock_count == 0:
                freed += self._cut(node, group, node.num_pages)
            else:
                freed += tree.entomb(node, group, num_pages - freed)
        return freed

    def _cut(self, leaf: RadixNode, group: int, num_pages: int) -> int:
        tail = leaf.pages[group][leaf.num_pages - num_pages :]
        freed = sum(page != TOMBSTONE for page in tail)
        parent = self._tree.trim_leaf(leaf, num_pages)
        self.note_unused(leaf if parent is None else parent)
        return freed

    def _pop_unused(self) -> RadixNode | None:
        while self._heap:
            entry = heapq.heappop(self._heap)
            if self._is_current(entry):
                return entry[3]
        return None

    def _is_current(self, entry: tuple[EvictionKey, int, int, RadixNode]) -> bool:
        _, _, stamp, leaf = entry
        return leaf.stamp == stamp and not leaf.children and leaf.lock_count == 0
