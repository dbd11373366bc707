"""The prefix cache: a radix tree over key ids whose edges are whole KV pages.

After RadixAttention (Zheng et al., SGLang, 2024). A path from a root spells a prefix; each node
holds the key ids of its edge and their pages, one list per KV group. A namespace is a root of its
own. Matching compares the ids themselves, never only a hash.

    root ── [a b c d | e f g h] ── [i j k l]          page size 4; | parts pages
                               └── [i j x y | ...]

Two kinds of use protect pages. A sequence *locks* the node where its prefix ends, and with it the
path to the root. In ``paged_window`` groups it also counts as *reader* of the pages that its
window still covers; an unread page may become a tombstone even under a lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sglite.kvcache.groups import KVGroup
from sglite.kvcache.page_allocator import TOMBSTONE, PageAllocator


class RadixNode:
    """An edge of the tree and the node at its end.

    ``key`` holds a multiple of the page size of ids, ``pages[group]`` one page per page of them,
    ``end`` the number of tokens from the root to here. ``lock_count`` is the number of sequences
    and pins whose prefix ends here or below.
    """

    __slots__ = (
        "children", "end", "key", "last_used", "lock_count", "namespace", "num_hits", "pages",
        "parent", "priority", "stamp",
    )  # fmt: skip

    def __init__(self, key: list[int], pages: list[list[int]], parent: RadixNode | None) -> None:
        self.key = key
        self.pages = pages
        self.parent = parent
        self.children: dict[tuple[int, ...], RadixNode] = {}
        self.lock_count = 0
        self.last_used = 0
        self.num_hits = 0
        self.priority = 0
        self.end: int = len(key) + (parent.end if parent else 0)
        self.namespace: str = parent.namespace if parent else ""
        self.stamp = 0

    @property
    def num_pages(self) -> int:
        """Pages of this edge."""
        return len(self.pages[0])

    def path(self) -> Iterator[RadixNode]:
        """This node and its ancestors, without the root."""
        node: RadixNode = self
        while node.parent is not None:
            yield node
            node = node.parent


@dataclass(frozen=True, slots=True)
class PrefixMatch:
    """The longest cached start that every KV group can use.

    It ends inside or at the end of the edge of ``node`` (None for an empty match);
    ``pages[group]`` has one entry per page, ``TOMBSTONE`` where a window group has let go of it.
    """

    namespace: str
    node: RadixNode | None
    num_tokens: int
    pages: list[list[int]]


@dataclass(slots=True)
class InsertResult:
    """Where an inserted prefix ends, and which pages were there already.

    ``duplicates`` holds ``(group, page index, tree page, own page)``: the sequence should read the
    tree's page and give up its own.
    """

    node: RadixNode
    num_new_pages: int = 0
    duplicates: list[tuple[int, int, int, int]] = field(default_factory=list)


class RadixTree:
    """The tree of one engine. It owns the pages in it; eviction lies in ``eviction.py``."""

    def __init__(
        self, groups: Sequence[KVGroup], allocators: Sequence[PageAllocator], page_size: int
    ) -> None:
        self.groups = tuple(groups)
        self.allocators = tuple(allocators)
        self.page_size = page_size
        self.roots: dict[str, RadixNode] = {}
        self.tick = 0
        self.num_leaves = 0
        self.num_pages = [0] * len(self.groups)
        self.num_locked_pages = [0] * len(self.groups)
        self.readers: list[dict[int, int]] = [{} for _ in self.groups]

    # -- queries ---------------------------------------------------------------------------------

    def match(self, namespace: str, key_ids: list[int], max_tokens: int) -> PrefixMatch:
        """The longest usable prefix of ``key_ids[:max_tokens]``. Changes nothing."""
        page_size = self.page_size
        node = self.roots.get(namespace)
        path: list[tuple[RadixNode, int]] = []
        offset, limit = 0, max_tokens // page_size * page_size
        while node is not None and offset < limit:
            node = node.children.get(tuple(key_ids[offset : offset + page_size]))
            if node is None:
                break
            count = self._common_pages(node, key_ids, offset, limit)
            path.append((node, count))
            offset += count * page_size
            if count < node.num_pages:
                break
        return self._usable(namespace, path)

    def num_evictable(self, group: int) -> int:
        """Pages of ``group`` that eviction could free now."""
        if self.groups[group].window is None:
            return self.num_pages[group] - self.num_locked_pages[group]
        return self.num_pages[group] - len(self.readers[group])

    def nodes(self) -> Iterator[RadixNode]:
        """Every node but the roots; parents before children."""
        stack = [child for root in self.roots.values() for child in root.children.values()]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())

    # -- locks -----------------------------------------------------------------------------------

    def lock_match(self, match: PrefixMatch, *, priority: int = 0) -> RadixNode:
        """Lock a match that is still fresh, and return the node that ends exactly there.

        An empty match locks the root of its namespace, so that it stays in place. Internal
        updates: may split the node, counts a hit, marks the path as used.
        """
        root = self._root(match.namespace)
        root.lock_count += 1
        node = match.node
        if node is None:
            return root
        if match.num_tokens < node.end:
            node = self._split(node, match.num_tokens)
        for step in node.path():
            step.num_hits += 1
        self.extend_lock(root, node)
        self.touch(node, priority=priority)
        return node

    def extend_lock(self, old: RadixNode, new: RadixNode) -> None:
        """Move a lock from ``old`` down to its descendant ``new``."""
        node = new
        while node is not old:
            node.lock_count += 1
            if node.lock_count == 1:
                self._count_locked(node, +1)
            assert node.parent is not None, "a lock moves down, to a descendant"
            node = node.parent

    def unlock(self, node: RadixNode) -> RadixNode | None:
        """Give up a lock; returns ``node`` if it is now a leaf that nobody uses."""
        for step in node.path():
            step.lock_count -= 1
            assert step.lock_count >= 0, "a node was unlocked more often than locked"
            if step.lock_count == 0:
                self._count_locked(step, -1)
        root = self.roots[node.namespace]
        root.lock_count -= 1
        self._drop_unused(root)
        is_unused_leaf = node.parent is not None and not node.children and node.lock_count == 0
        return node if is_unused_leaf else None

    def touch(self, node: RadixNode, *, priority: int = 0) -> None:
        """Mark the path as just used."""
        self.tick += 1
        for step in node.path():
            step.last_used = self.tick
            step.priority = max(step.priority, priority)

    def add_reader(self, group: int, page: int) -> None:
        """A sequence's window covers ``page``, which the tree owns."""
        readers = self.readers[group]
        readers[page] = readers.get(page, 0) + 1

    def remove_reader(self, group: int, page: int) -> None:
        """A sequence's window has left ``page``."""
        readers = self.readers[group]
        readers[page] -= 1
        if readers[page] == 0:
            del readers[page]

    # -- growth ----------------------------------------------------------------------------------

    def insert(
        self,
        start: RadixNode,
        key_ids: list[int],
        end: int,
        pages: Sequence[list[int]],
        *,
        priority: int = 0,
    ) -> InsertResult:
        """Add ``key_ids[start.end:end]`` below ``start``, a node that the caller has locked.

        ``pages[group]`` lists the sequence's pages from position 0; ``end`` is a multiple of the
        page size. What is new changes its owner to the tree. The caller moves its lock to
        ``InsertResult.node`` and swaps the duplicates.
        """
        result = InsertResult(start)
        while result.node.end < end:
            node = result.node
            offset = node.end
            child = node.children.get(tuple(key_ids[offset : offset + self.page_size]))
            if child is None:
                self._append(result, start, key_ids[offset:end], pages)
                break
            count = self._common_pages(child, key_ids, offset, end)
            if count < child.num_pages:
                child = self._split(child, offset + count * self.page_size)
            self._merge_pages(child, pages, result)
            result.node = child
        self.touch(result.node, priority=priority)
        return result

    # -- removal (called by eviction) --------------------------------------------------------------

    def trim_leaf(self, leaf: RadixNode, num_pages: int) -> RadixNode | None:
        """Free ``num_pages`` at the tail of an unused leaf.

        If nothing is left of it, it is unlinked and its parent returned, otherwise None.
        """
        assert not leaf.children and leaf.lock_count == 0, "only an unused leaf can be cut"
        keep = leaf.num_pages - num_pages
        first_key = tuple(leaf.key[: self.page_size])
        for group, pages in enumerate(leaf.pages):
            gone = [page for page in pages[keep:] if page != TOMBSTONE]
            del pages[keep:]
            self.num_pages[group] -= len(gone)
            self.allocators[group].free_from_tree(gone)
        del leaf.key[keep * self.page_size :]
        leaf.end -= num_pages * self.page_size
        return self._unlink(leaf, first_key) if keep == 0 else None

    def entomb(self, node: RadixNode, group: int, max_pages: int) -> int:
        """Free up to ``max_pages`` unread pages of a window group in ``node``; returns how many."""
        pages, readers = node.pages[group], self.readers[group]
        gone = [page for page in pages if page != TOMBSTONE and page not in readers][:max_pages]
        chosen = set(gone)
        node.pages[group] = [TOMBSTONE if page in chosen else page for page in pages]
        self.num_pages[group] -= len(gone)
        self.allocators[group].free_from_tree(gone)
        return len(gone)

    # -- internals -------------------------------------------------------------------------------

    def _root(self, namespace: str) -> RadixNode:
        if namespace not in self.roots:
            root = RadixNode([], [[] for _ in self.groups], None)
            root.namespace = namespace
            self.roots[namespace] = root
        return self.roots[namespace]

    def _unlink(self, leaf: RadixNode, first_key: tuple[int, ...]) -> RadixNode:
        parent = leaf.parent
        assert parent is not None
        del parent.children[first_key]
        leaf.stamp = -1
        if parent.children or parent.parent is None:
            self.num_leaves -= 1
        if parent.parent is None:
            self._drop_unused(parent)
        return parent

    def _drop_unused(self, root: RadixNode) -> None:
        if root.lock_count == 0 and not root.children:
            del self.roots[root.namespace]

    def _common_pages(self, node: RadixNode, key_ids: list[int], offset: int, limit: int) -> int:
        key, page_size = node.key, self.page_size
        size = min(len(key), limit - offset)
        if key[:size] == key_ids[offset : offset + size]:
            return size // page_size
        same, differs = 1, size // page_size  # pages [0, same) are equal, [0, differs) are not
        while differs - same > 1:
            middle = (same + differs) // 2
            low, high = same * page_size, middle * page_size
            if key[low:high] == key_ids[offset + low : offset + high]:
                same = middle
            else:
                differs = middle
        return same

    def _usable(self, namespace: str, path: list[tuple[RadixNode, int]]) -> PrefixMatch:
        """Cut the matched path back to the last point where every group has what it reads."""
        pages: list[list[int]] = [[] for _ in self.groups]
        for edge, count in path:
            for group, collected in enumerate(pages):
                collected.extend(edge.pages[group][:count])
        num_pages = len(pages[0])
        while num_pages and not self._windows_present(pages, num_pages):
            num_pages -= 1
        while path and path[-1][0].end - len(path[-1][0].key) >= num_pages * self.page_size:
            path.pop()
        node = path[-1][0] if path else None
        kept = [entries[:num_pages] for entries in pages]
        return PrefixMatch(namespace, node, num_pages * self.page_size, kept)

    def _windows_present(self, pages: list[list[int]], num_pages: int) -> bool:
        for group, spec in enumerate(self.groups):
            first = spec.first_needed_page(num_pages * self.page_size, self.page_size)
            if spec.window is not None and TOMBSTONE in pages[group][first:num_pages]:
                return False
        return True

    def _split(self, node: RadixNode, at: int) -> RadixNode:
        """Cut the edge of ``node`` at token ``at``; returns the new upper node.

        ``node`` stays the lower part, so that locks and stored references keep their meaning.
        """
        parent = node.parent
        assert parent is not None and parent.end < at < node.end
        cut = at - parent.end
        num_pages = cut // self.page_size
        upper = RadixNode(node.key[:cut], [pages[:num_pages] for pages in node.pages], parent)
        upper.lock_count = node.lock_count
        upper.last_used, upper.num_hits = node.last_used, node.num_hits
        upper.priority = node.priority
        parent.children[tuple(node.key[: self.page_size])] = upper
        node.key = node.key[cut:]
        node.pages = [pages[num_pages:] for pages in node.pages]
        node.parent = upper
        upper.children[tuple(node.key[: self.page_size])] = node
        return upper

    def _append(
        self, result: InsertResult, start: RadixNode, key: list[int], pages: Sequence[list[int]]
    ) -> None:
        node, page_size = result.node, self.page_size
        first, last = node.end // page_size, (node.end + len(key)) // page_size
        new_pages = [list(own[first:last]) for own in pages]
        if node is start and self._can_grow(node):
            for group, added in enumerate(new_pages):
                node.pages[group].extend(added)
                self._adopt(group, added, locked=True)
            node.key.extend(key)
            node.end += len(key)
        else:
            child = RadixNode(key, new_pages, node)
            if node.children or node.parent is None:
                self.num_leaves += 1
            node.children[tuple(key[:page_size])] = child
            for group, added in enumerate(new_pages):
                self._adopt(group, added, locked=False)
            result.node = child
        result.num_new_pages += last - first

    def _can_grow(self, node: RadixNode) -> bool:
        """A leaf that only the caller has locked grows in place: a chunked prompt is one edge."""
        return node.parent is not None and not node.children and node.lock_count == 1

    def _adopt(self, group: int, pages: list[int], *, locked: bool) -> None:
        kept = [page for page in pages if page != TOMBSTONE]
        self.allocators[group].adopt(kept)
        self.num_pages[group] += len(kept)
        if locked and self.groups[group].window is None:
            self.num_locked_pages[group] += len(kept)

    def _merge_pages(
        self, node: RadixNode, pages: Sequence[list[int]], result: InsertResult
    ) -> None:
        """``node`` has the same ids as the sequence: note duplicates, fill tombstones."""
        first = node.end // self.page_size - node.num_pages
        for group, own_pages in enumerate(pages):
            for position, tree_page in enumerate(node.pages[group]):
                own = own_pages[first + position]
                if own in (TOMBSTONE, tree_page):
                    continue
                if tree_page == TOMBSTONE:
                    node.pages[group][position] = own
                    self._adopt(group, [own], locked=node.lock_count > 0)
                else:
                    result.duplicates.append((group, first + position, tree_page, own))

    def _count_locked(self, node: RadixNode, sign: int) -> None:
        for group, pages in enumerate(node.pages):
            if self.groups[group].window is None:
                self.num_locked_pages[group] += sign * len(pages)
