"""Which prefixes are being computed right now, and who waits for which page.

Two dictionaries over page hashes (see ``Sequence.extend_page_hashes``) keep the scheduler from
matching a thousand waiting requests against the tree in every step: a waiting request is touched
only when the very page it lacks is written.
"""

from __future__ import annotations

from collections.abc import Callable

from sglite.scheduler.sequence import Sequence


class PrefixIndex:
    """Pages in flight, and hints of how many cached pages each waiting request would find."""

    def __init__(self, page_size: int) -> None:
        self._page_size = page_size
        self._computing: dict[int, Sequence] = {}
        self._waiters: dict[int, dict[int, Sequence]] = {}

    def watch(self, sequence: Sequence, num_cached_pages: int) -> None:
        """``sequence`` waits, and the cache holds ``num_cached_pages`` of its prefix."""
        self.unwatch(sequence)
        sequence.num_hinted_pages = num_cached_pages
        hashes = sequence.page_hashes
        if num_cached_pages < len(hashes):
            sequence.watched_hash = hashes[num_cached_pages]
            waiters = self._waiters.setdefault(sequence.watched_hash, {})
            waiters[sequence.arrival_order] = sequence

    def unwatch(self, sequence: Sequence) -> None:
        """``sequence`` no longer waits."""
        if sequence.watched_hash is None:
            return
        waiters = self._waiters[sequence.watched_hash]
        del waiters[sequence.arrival_order]
        if not waiters:
            del self._waiters[sequence.watched_hash]
        sequence.watched_hash = None

    def start(self, sequence: Sequence, num_cached_pages: int) -> None:
        """``sequence`` was admitted and computes its prompt's pages from here on."""
        for page_hash in sequence.page_hashes[num_cached_pages:]:
            self._computing.setdefault(page_hash, sequence)

    def stop(self, sequence: Sequence) -> None:
        """``sequence`` computes no page that others could wait for any more."""
        for page_hash in sequence.page_hashes:
            if self._computing.get(page_hash) is sequence:
                del self._computing[page_hash]

    def written(
        self, sequence: Sequence, first: int, end: int, on_longer: Callable[[Sequence], None]
    ) -> None:
        """Pages ``[first, end)`` of ``sequence`` are in the tree.

        ``on_longer`` is called with every waiting request whose hint grew.
        """
        hashes = sequence.page_hashes
        for page_hash in hashes[first:end]:
            if self._computing.get(page_hash) is sequence:
                del self._computing[page_hash]
            for waiter in list(self._waiters.get(page_hash, {}).values()):
                count = waiter.num_hinted_pages
                limit = min(end, len(waiter.page_hashes))
                while count < limit and waiter.page_hashes[count] == hashes[count]:
                    count += 1
                self.watch(waiter, count)
                on_longer(waiter)

    def computing(self, sequence: Sequence, num_cached_pages: int) -> Sequence | None:
        """The running sequence that is computing the next page ``sequence`` could use, if any.

        The page's ids are compared, not only the hash; a false positive would only cost time.
        """
        first, end = num_cached_pages * self._page_size, (num_cached_pages + 1) * self._page_size
        if end > sequence.max_match_tokens:
            return None
        other = self._computing.get(sequence.page_hashes[num_cached_pages])
        if other is None or other is sequence or other.namespace != sequence.namespace:
            return None
        return other if other.key_ids[first:end] == sequence.key_ids[first:end] else None

    @property
    def is_empty(self) -> bool:
        """True where nothing is computed or waited for; for checks."""
        return not self._computing and not self._waiters
