"""What the prefix cache has, as hashes for routers: the whole, and what has changed since.

    engine thread ──PagesCached, PagesDropped──▶ TreeDigest ──changes(), whole()──▶ IO thread

Every cached page of KV group 0 has one hash (``router.prefix_hashes``), kept by the page's number:
splits and locks move no page, so they are nothing to this.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from sglite.ipc.messages import Digest
from sglite.kvcache.cache_manager import CacheManager
from sglite.kvcache.page_allocator import TOMBSTONE
from sglite.observability.events import Event, PagesCached, PagesDropped
from sglite.router.prefix_hashes import HASH_BYTES, continue_hashes, root_hash

MAX_MESSAGE_BYTES = 4096 * HASH_BYTES
"""Of hashes in one message: a router takes them in within a few milliseconds."""


class TreeDigest:
    """Follows the tree of ``cache`` through its events. Make it in the engine's thread.

    ``on_change`` is called there, and must not block, when something changes for the first time
    after :meth:`changes`.
    """

    def __init__(self, cache: CacheManager) -> None:
        self.on_change: Callable[[], None] = _nothing
        self._page_size = cache.page_size
        # A sequence's list may name pages that its window has left and the tree has given up.
        self._can_continue = cache.groups[0].window is None
        self._lock = threading.Lock()
        self._hashes = dict(_walk(cache))
        self._added: set[bytes] = set()
        self._removed: set[bytes] = set()
        cache.page_events.subscribe(self._take)

    # -- in any thread -----------------------------------------------------------------------------

    def whole(self) -> list[Digest]:
        """Everything that is cached, also what :meth:`changes` will tell."""
        with self._lock:
            packed = b"".join(self._hashes.values())
        return self._messages(packed, b"", is_whole=True)

    def changes(self) -> list[Digest]:
        """What was cached and dropped since the last call. To tell it twice does no harm: a hash
        is added if it is there now and removed if not.
        """
        with self._lock:
            added, self._added = self._added, set()
            removed, self._removed = self._removed, set()
        if not added and not removed:
            return []
        return self._messages(b"".join(added), b"".join(removed), is_whole=False)

    def _messages(self, added: bytes, removed: bytes, *, is_whole: bool) -> list[Digest]:
        step = MAX_MESSAGE_BYTES
        return [
            Digest(
                page_size=self._page_size,
                is_whole=is_whole and start == 0,
                added=added[start : start + step],
                removed=removed[start : start + step],
            )
            for start in range(0, max(len(added), len(removed), 1), step)
        ]

    # -- in the engine's thread --------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        if isinstance(event, PagesCached):
            self._add(event)
        elif isinstance(event, PagesDropped):
            self._drop(event.page_ids)

    def _add(self, event: PagesCached) -> None:
        first, previous = self._place_to_start(event)
        key_ids = event.key_ids[first * self._page_size : event.end_page * self._page_size]
        packed = continue_hashes(previous, key_ids, self._page_size)
        new = {
            page: _nth(packed, index - first)
            for index in range(event.first_page, event.end_page)
            if (page := event.page_ids[index]) != TOMBSTONE and page not in self._hashes
        }
        if not new:
            return
        with self._lock:
            is_first = self._is_told
            self._hashes.update(new)
            self._added.update(new.values())
            self._removed.difference_update(new.values())
        if is_first:
            self.on_change()

    def _place_to_start(self, event: PagesCached) -> tuple[int, bytes]:
        """The page from which to hash, and the hash before it."""
        if self._can_continue and event.first_page > 0:
            before = self._hashes.get(event.page_ids[event.first_page - 1])
            if before is not None:
                return event.first_page, before
        return 0, root_hash(self._page_size, event.namespace)

    def _drop(self, page_ids: Sequence[int]) -> None:
        with self._lock:
            is_first = self._is_told
            gone = [self._hashes.pop(page) for page in page_ids if page in self._hashes]
            self._added.difference_update(gone)
            self._removed.update(gone)
        if gone and is_first:
            self.on_change()

    @property
    def _is_told(self) -> bool:
        """True where nothing has changed since the last telling."""
        return not self._added and not self._removed


def _walk(cache: CacheManager) -> Iterator[tuple[int, bytes]]:
    """Every page of group 0 that is in the tree, with its hash."""
    page_size = cache.page_size
    stack = [
        (child, root_hash(page_size, namespace))
        for namespace, root in cache.tree.roots.items()
        for child in root.children.values()
    ]
    while stack:
        node, previous = stack.pop()
        packed = continue_hashes(previous, node.key, page_size)
        for index, page in enumerate(node.pages[0]):
            if page != TOMBSTONE:
                yield page, _nth(packed, index)
        stack += [(child, _nth(packed, -1)) for child in node.children.values()]


def _nth(packed: bytes, index: int) -> bytes:
    """One of packed hashes; -1 is the last."""
    start = index * HASH_BYTES % len(packed)
    return packed[start : start + HASH_BYTES]


def _nothing() -> None:
    """Nobody wants to know."""
