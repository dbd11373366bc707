"""The sequences that hold rows and pages, and how they leave.

A sequence that leaves while a launched step still names it *drains*: row and pages stay its own
until that step is committed. Then it is settled: what was written goes to the tree, the rest is
freed.
"""

from __future__ import annotations

from collections.abc import Callable

from sglite.kvcache.cache_manager import CacheManager
from sglite.observability.events import EventStream, Inserted
from sglite.scheduler.plan import StepPlan
from sglite.scheduler.prefix_index import PrefixIndex
from sglite.scheduler.sequence import Sequence, SequenceState
from sglite.scheduler.step_builder import row_setup


class RunningBatch:
    """Rows and their sequences. ``running`` is in order of arrival, the oldest first."""

    def __init__(
        self,
        max_rows: int,
        cache: CacheManager,
        prefixes: PrefixIndex,
        events: EventStream,
        *,
        on_longer_prefix: Callable[[Sequence], None],
    ) -> None:
        self.running: list[Sequence] = []
        self.draining: list[Sequence] = []
        self.free_rows = list(range(max_rows - 1, -1, -1))
        self._cache = cache
        self._prefixes = prefixes
        self._events = events
        self._on_longer_prefix = on_longer_prefix
        self._rows_to_clear: list[int] = []
        self._to_renew: list[Sequence] = []
        self._late_updates: list[tuple[Sequence, int, int, int]] = []

    def join(self, sequence: Sequence) -> None:
        """Give ``sequence``, which has its pages, a row and its place by arrival."""
        sequence.row = self.free_rows.pop()
        sequence.state = SequenceState.RUNNING
        sequence.row_has_sample = False
        position = len(self.running)
        while position and self.running[position - 1].arrival_order > sequence.arrival_order:
            position -= 1
        self.running.insert(position, sequence)

    def leave(self, sequence: Sequence) -> None:
        """Take ``sequence`` out of the batch; ``settle`` frees what it holds."""
        assert sequence.state is SequenceState.RUNNING
        self.running.remove(sequence)
        sequence.state = SequenceState.DRAINING
        self._prefixes.stop(sequence)
        self.draining.append(sequence)

    def settle(self, committed_step: int) -> list[Sequence]:
        """Free what drained sequences held; returns them, with nothing left to give up."""
        if not self.draining:
            return []
        settled = [s for s in self.draining if s.last_step <= committed_step]
        if settled:
            self.draining = [s for s in self.draining if s.last_step > committed_step]
        for sequence in settled:
            self._give_up(sequence)
        return settled

    def insert_written(self, sequence: Sequence, *, after_step: int | None) -> None:
        """Give the whole written pages of ``sequence`` to the tree, for others to use."""
        if not sequence.can_insert or sequence.is_poisoned:
            return
        pages = sequence.pages
        assert pages is not None
        first = pages.num_tree_pages
        num_computed = min(sequence.num_computed, sequence.num_tokens)
        num_new, replaced = self._cache.insert(
            pages, sequence.key_ids, num_computed, after_step=after_step
        )
        self._late_updates += [(sequence, *entry) for entry in replaced]
        end = pages.num_tree_pages
        if end == first:
            return
        sequence.extend_page_hashes(self._cache.page_size)
        self._prefixes.written(sequence, first, end, self._on_longer_prefix)
        if self._events.active:
            num_duplicates = end - first - num_new
            self._events.emit(Inserted(sequence.request_id, num_new, num_duplicates))

    def open_plan(self, plan: StepPlan) -> None:
        """Put into ``plan`` what happened to rows and pages since the last one."""
        plan.cleared_rows, self._rows_to_clear = self._rows_to_clear, plan.cleared_rows
        for sequence, group, index, page in self._late_updates:
            if sequence.state is SequenceState.RUNNING:
                plan.page_updates[group].add(sequence.row, index, page)
        self._late_updates = []
        renewed, self._to_renew = self._to_renew, []
        running = SequenceState.RUNNING
        plan.renewed_rows = [
            row_setup(sequence) for sequence in renewed if sequence.state is running
        ]

    def renew(self, sequence: Sequence) -> None:
        """Tell the executor what the output of ``sequence`` is, if it keeps count of it."""
        if sequence.request.sampling.has_penalties:
            self._to_renew.append(sequence)

    def _give_up(self, sequence: Sequence) -> None:
        assert sequence.pages is not None
        self.insert_written(sequence, after_step=None)
        self._cache.release(sequence.pages, after_step=None)
        sequence.pages = None
        self._late_updates = [entry for entry in self._late_updates if entry[0] is not sequence]
        self._rows_to_clear.append(sequence.row)
        self.free_rows.append(sequence.row)
        sequence.state = SequenceState.SETTLED
