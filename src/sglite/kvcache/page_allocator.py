"""Who owns each KV page: exactly one of nobody, the tree, a sequence, or a step still running.

Plain integers, no tensors; the pages' contents lie in ``kv_pool``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import IntEnum

from sglite.observability.events import EventStream, PagesDropped

TOMBSTONE = -1
"""Stands in a page list for a page that its KV group no longer keeps."""


class PageState(IntEnum):
    """The owner of a page."""

    FREE = 0
    TREE = 1
    SEQUENCE = 2
    DEFERRED = 3
    TRANSFER = 4


class PageAllocator:
    """The pages of one KV group.

    A page that a launched step may still read or write is not freed but *deferred* until that
    step is committed. ``events`` hears of pages that the tree gives up.
    """

    def __init__(self, num_pages: int) -> None:
        assert num_pages > 0, f"a KV group needs pages, got {num_pages}"
        self.num_pages = num_pages
        self.events = EventStream()
        self._free = list(range(num_pages - 1, -1, -1))
        self._state = bytearray(num_pages)
        self._deferred: deque[tuple[int, list[int]]] = deque()
        self.num_deferred = 0

    @property
    def num_free(self) -> int:
        """Pages that belong to nobody."""
        return len(self._free)

    def try_allocate(self, count: int) -> list[int] | None:
        """``count`` pages for a sequence, or None, without side effect, if there are fewer."""
        if count > len(self._free):
            return None
        if count == 0:
            return []
        pages = self._free[-count:]
        del self._free[-count:]
        self._move(pages, PageState.FREE, PageState.SEQUENCE)
        return pages

    def adopt(self, pages: Iterable[int]) -> None:
        """The tree takes over pages of a sequence."""
        self._move(pages, PageState.SEQUENCE, PageState.TREE)

    def free_from_tree(self, pages: list[int]) -> None:
        """The tree gives up pages that no launched step names."""
        self._move(pages, PageState.TREE, PageState.FREE)
        self._free.extend(pages)
        if self.events.active:
            self.events.emit(PagesDropped(pages))

    def free_from_sequence(self, pages: list[int], *, after_step: int | None = None) -> None:
        """A sequence gives up pages: now, or once step ``after_step`` is committed."""
        if after_step is None:
            self._move(pages, PageState.SEQUENCE, PageState.FREE)
            self._free.extend(pages)
        elif pages:
            self._move(pages, PageState.SEQUENCE, PageState.DEFERRED)
            self._deferred.append((after_step, pages))
            self.num_deferred += len(pages)

    def release_deferred(self, committed_step: int) -> None:
        """Free what waited for steps up to ``committed_step``. Steps commit in order."""
        while self._deferred and self._deferred[0][0] <= committed_step:
            _, pages = self._deferred.popleft()
            self._move(pages, PageState.DEFERRED, PageState.FREE)
            self._free.extend(pages)
            self.num_deferred -= len(pages)

    def pages_in(self, state: PageState) -> set[int]:
        """All pages in ``state``; for checks and statistics."""
        return {page for page, value in enumerate(self._state) if value == state}

    def check(self) -> None:
        """Assert that free list, deferred list and states agree."""
        assert len(set(self._free)) == len(self._free), "a page is free twice"
        assert set(self._free) == self.pages_in(PageState.FREE), "free list and states differ"
        deferred = [page for _, pages in self._deferred for page in pages]
        assert len(deferred) == self.num_deferred
        assert set(deferred) == self.pages_in(PageState.DEFERRED), "deferred pages differ"

    def _move(self, pages: Iterable[int], old: PageState, new: PageState) -> None:
        state = self._state
        for page in pages:
            assert state[page] == old, (
                f"page {page} is {PageState(state[page]).name}, expected {old.name} "
                f"on its way to {new.name}"
            )
            state[page] = new
