"""Rows and pages come back exactly when nothing names them any more."""

from __future__ import annotations

import pytest

from sglite.kvcache.invariants import check_cache
from sglite.observability.events import EventStream, Inserted
from sglite.scheduler.plan import StepPlan
from sglite.scheduler.prefix_index import PrefixIndex
from sglite.scheduler.running_batch import RunningBatch
from sglite.scheduler.sequence import SequenceState
from tests.kvcache.building import PAGE, make_cache, num_cached
from tests.scheduler.building import make_sequence, take_pages


class Setup:
    """A batch of three rows, and what it told."""

    def __init__(self) -> None:
        self.events: list = []
        self.longer: list[str] = []
        self.cache = make_cache()
        self.prefixes = PrefixIndex(PAGE)
        self.batch = RunningBatch(
            3,
            self.cache,
            self.prefixes,
            EventStream([self.events.append]),
            on_longer_prefix=lambda sequence: self.longer.append(sequence.request_id),
        )

    def join(self, text: str, order: int = 0):
        sequence = take_pages(self.cache, make_sequence(text, order))
        self.prefixes.start(sequence, sequence.num_computed // PAGE)
        self.batch.join(sequence)
        return sequence

    def check(self) -> None:
        holders = [*self.batch.running, *self.batch.draining]
        check_cache(self.cache, [sequence.pages for sequence in holders])

    def plan(self) -> StepPlan:
        plan = StepPlan(9, 1)
        self.batch.open_plan(plan)
        return plan


@pytest.fixture
def setup() -> Setup:
    return Setup()


def compute(sequence, num_tokens: int, step_id: int = 1) -> None:
    sequence.num_computed = sequence.num_scheduled = num_tokens
    sequence.last_step = step_id


def test_batch_is_in_order_of_arrival_whoever_joins_last(setup):
    for order in (2, 0, 1):
        setup.join("aaaa b", order)
    assert [sequence.arrival_order for sequence in setup.batch.running] == [0, 1, 2]
    assert sorted(sequence.row for sequence in setup.batch.running) == [0, 1, 2]
    assert setup.batch.free_rows == []


def test_what_was_sampled_in_an_old_row_is_forgotten(setup):
    sequence = take_pages(setup.cache, make_sequence("aaaa"))
    sequence.row_has_sample = True
    setup.batch.join(sequence)
    assert not sequence.row_has_sample and sequence.state is SequenceState.RUNNING


def test_sequence_drains_until_the_last_step_that_names_it(setup):
    sequence = setup.join("aaaa bbbb c")
    compute(sequence, 9, step_id=4)
    setup.batch.leave(sequence)
    assert setup.batch.settle(3) == []
    assert setup.batch.draining == [sequence] and len(setup.batch.free_rows) == 2
    setup.check()
    assert setup.batch.settle(4) == [sequence]
    assert setup.batch.draining == [] and len(setup.batch.free_rows) == 3
    assert sequence.pages is None and sequence.state is SequenceState.SETTLED
    setup.check()


def test_sequence_leaves_once(setup):
    sequence = setup.join("aaaa")
    setup.batch.leave(sequence)
    with pytest.raises(AssertionError):
        setup.batch.leave(sequence)


def test_what_was_written_stays_in_the_cache(setup):
    sequence = setup.join("aaaa bbbb cccc")
    compute(sequence, 9)
    setup.batch.leave(sequence)
    setup.batch.settle(1)
    assert num_cached(setup.cache, "aaaa bbbb cccc") == 8
    assert setup.cache.allocators[0].num_free == 32 - 2


def test_surplus_position_of_an_ended_request_is_not_inserted(setup):
    sequence = setup.join("aaaa bbb")
    assert setup.cache.try_grow(sequence.pages, 12)
    compute(sequence, 8)  # the eighth token was never known
    setup.batch.leave(sequence)
    setup.batch.settle(1)
    assert num_cached(setup.cache, "aaaa bbbb") == 4


@pytest.mark.parametrize("flag", ["poisoned", "may not insert"])
def test_nothing_is_inserted_that_others_must_not_read(setup, flag):
    sequence = setup.join("aaaa bbbb")
    compute(sequence, 8)
    sequence.is_poisoned = flag == "poisoned"
    sequence.can_insert = flag != "may not insert"
    setup.batch.insert_written(sequence, after_step=None)
    setup.batch.leave(sequence)
    setup.batch.settle(1)
    assert num_cached(setup.cache, "aaaa bbbb") == 0
    assert setup.cache.allocators[0].num_free == 32


def test_leaving_ends_what_others_could_wait_for(setup):
    sequence = setup.join("aaaa bbbb c")
    waiter = make_sequence("aaaa bbbb x", 1)
    assert setup.prefixes.computing(waiter, 0) is sequence
    setup.batch.leave(sequence)
    assert setup.prefixes.computing(waiter, 0) is None


def test_insert_tells_those_who_wait_for_the_pages(setup):
    sequence, waiter = setup.join("aaaa bbbb cccc d"), make_sequence("aaaa bbbb x", 1)
    setup.prefixes.watch(waiter, 0)
    compute(sequence, 3)
    setup.batch.insert_written(sequence, after_step=None)
    assert setup.longer == [] and setup.events == []
    compute(sequence, 9)
    setup.batch.insert_written(sequence, after_step=None)
    assert setup.longer == ["r1"] and waiter.num_hinted_pages == 2
    assert setup.events == [Inserted("r0", 2, 0)]


def test_duplicates_are_counted(setup):
    first, second = setup.join("aaaa bbbb", 0), setup.join("aaaa bbbb cccc", 1)
    for sequence in (first, second):
        compute(sequence, sequence.num_tokens)
        setup.batch.insert_written(sequence, after_step=None)
    assert setup.events == [Inserted("r0", 2, 0), Inserted("r1", 1, 2)]


# -- what the next plan must say -------------------------------------------------------------------


def duplicate(setup) -> tuple:
    """Two sequences computed the same page; the second now has the first's."""
    first, second = setup.join("aaaa b", 0), setup.join("aaaa c", 1)
    for sequence in (first, second):
        compute(sequence, 5)
        setup.batch.insert_written(sequence, after_step=1)
    return first, second


def test_replaced_page_is_told_with_the_next_plan_and_only_then(setup):
    first, second = duplicate(setup)
    updates = setup.plan().page_updates[0]
    assert (updates.rows, updates.indices) == ([second.row], [0])
    assert updates.page_ids == [first.pages.page_ids[0][0]] == [second.pages.page_ids[0][0]]
    assert setup.plan().page_updates[0].rows == []


@pytest.mark.parametrize("settled", [False, True])
def test_replaced_page_of_a_sequence_that_left_is_not_told(setup, settled):
    _, second = duplicate(setup)
    setup.batch.leave(second)
    if settled:
        setup.cache.commit_step(1)
        setup.batch.settle(1)
    assert setup.plan().page_updates[0].rows == []


def test_freed_row_is_cleared_once_and_may_be_taken_in_the_same_plan(setup):
    sequences = [setup.join("aaaa b", order) for order in range(3)]
    setup.batch.leave(sequences[1])
    setup.batch.settle(1)
    newcomer = setup.join("cccc d", 3)
    assert newcomer.row == sequences[1].row
    assert setup.plan().cleared_rows == [newcomer.row]
    assert setup.plan().cleared_rows == []
