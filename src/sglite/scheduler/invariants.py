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
    if scheduler.num_stages > 1:
        _check_pipeline(scheduler)
    if not scheduler.has_work:
        assert scheduler.prefixes.is_empty, "the prefix index remembers ended requests"


def _check_pipeline(scheduler: Scheduler) -> None:
    """Assert that the host knows every token of the open steps of a pipeline: none of them computes
    what another one samples.
    """
    awaited: set[int] = set()
    for step in scheduler.open_steps:
        plan = step.plan
        assert not any(plan.run_continues), f"step {plan.step_id} continues what is not known yet"
        rows = awaited.intersection(plan.run_rows)
        assert not rows, f"step {plan.step_id} computes rows {sorted(rows)} before their tokens"
        awaited.update(plan.run_rows[run] for run in plan.sample_runs)
    for sequence in scheduler.batch.running:
        is_awaited = sequence.row in awaited
        assert sequence.num_pending == is_awaited, (
            f"{sequence.request_id}: {sequence.num_pending} tokens on their way, not {is_awaited:d}"
        )
