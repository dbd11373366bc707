"""What must always be true between two calls; run after every step with ``--check``, in tests."""

from __future__ import annotations

from collections import Counter

from sglite.kvcache.invariants import check_cache
from sglite.scheduler.scheduler import Scheduler
from sglite.scheduler.sequence import SequenceState


def check_scheduler(scheduler: Scheduler) -> None:
    """Assert that every page, row and request is in exactly one place.

    Raises AssertionError with the values.
    """
    batch, queue = scheduler.batch, scheduler.queue
    holders = [*batch.running, *batch.draining]
    check_cache(scheduler.cache, [s.pages for s in holders if s.pages is not None])
    rows = [s.row for s in holders] + batch.free_rows
    assert sorted(rows) == list(range(len(rows))), f"a row leaked: {sorted(rows)}"
    states = Counter(s.state for s in scheduler.live.values())
    num_waiting = sum(s.state is SequenceState.WAITING for s in queue.arrivals)
    assert states[SequenceState.WAITING] == num_waiting, "a waiting request is not queued"
    assert states[SequenceState.RUNNING] == len(batch.running), "a running request has no row"
    orders = [s.arrival_order for s in batch.running]
    assert orders == sorted(orders), "the batch is not in order of arrival"
    for sequence in batch.running:
        assert sequence.num_computed <= sequence.num_scheduled <= sequence.num_bound, (
            f"{sequence.request_id}: computed {sequence.num_computed}, scheduled "
            f"{sequence.num_scheduled} of {sequence.num_bound}"
        )
    if not scheduler.has_work:
        assert scheduler.prefixes.is_empty, "the prefix index remembers ended requests"
