"""Who gets pages now, and who waits for what."""

from __future__ import annotations

from typing import Any

import pytest

from sglite.kvcache.invariants import check_cache
from sglite.observability.events import EventStream, HeldBack
from sglite.request import LogprobParams
from sglite.scheduler.admission import Admission
from sglite.scheduler.budget import NewTokenEstimate
from sglite.scheduler.prefix_index import PrefixIndex
from sglite.scheduler.sequence import SequenceState
from sglite.scheduler.waiting_queue import WaitingQueue
from tests.kvcache.building import PAGE, make_cache, serve
from tests.scheduler.building import make_sequence, write


class Setup:
    """A queue before a cache of ``num_pages``; admitted sequences run for good."""

    def __init__(self, num_pages: int = 32, conservativeness: float = 1.0) -> None:
        self.events: list = []
        self.cache = make_cache(num_pages=num_pages)
        self.queue = WaitingQueue(
            "fcfs", self.cache, max_wait_s=10.0, lpm_fallback_threshold=1000, seed=0
        )
        self.prefixes = PrefixIndex(PAGE)
        self.estimate = NewTokenEstimate(conservativeness)
        stream = EventStream([self.events.append])
        self.admission = Admission(self.cache, self.queue, self.prefixes, self.estimate, stream)
        self.running: list = []

    def add(self, text: str, order: int = 0, **fields: Any):
        fields = {"max_new_tokens": 1} | fields
        sequence = make_sequence(text, order, **fields)
        match = self.cache.match(sequence.namespace, sequence.key_ids, sequence.max_match_tokens)
        self.prefixes.watch(sequence, match.num_tokens // PAGE)
        self.queue.add(sequence)
        return sequence

    def admit(self, limit: int = 99) -> list[str]:
        """The next sequences in order of admission."""
        admitted = []
        for sequence in self.admission.candidates(list(self.running), 0.0):
            admitted.append(sequence)
            sequence.state = SequenceState.RUNNING
            if len(admitted) == limit:
                break
        self.running += admitted
        self.queue.drop_departed()
        check_cache(self.cache, [sequence.pages for sequence in self.running])
        return [sequence.request_id for sequence in admitted]


def test_admitted_sequences_have_room_for_all_their_tokens():
    setup = Setup()
    for order, text in enumerate(["aaaa b", "cccc dddd e"]):
        setup.add(text, order)
    assert setup.admit() == ["r0", "r1"]
    assert [sequence.pages.capacity for sequence in setup.running] == [8, 12]


def test_cached_prefix_is_not_computed_again():
    setup = Setup()
    serve(setup.cache, "aaaa bbbb cccc")
    sequence = setup.add("aaaa bbbb x")
    assert setup.admit() == ["r0"]
    assert sequence.num_computed == sequence.num_scheduled == 8


def test_exact_repeat_computes_one_page():
    setup = Setup()
    serve(setup.cache, "aaaa bbbb cccc")
    sequence = setup.add("aaaa bbbb cccc")
    setup.admit()
    assert sequence.num_computed == 8


def test_positions_with_wanted_logprobs_are_computed():
    setup = Setup()
    serve(setup.cache, "aaaa bbbb cccc")
    sequence = setup.add("aaaa bbbb cccc d", logprobs=LogprobParams(start_len=5))
    setup.admit()
    assert sequence.num_computed == 4


def test_nobody_overtakes_the_first_that_does_not_fit():
    setup = Setup(num_pages=4)
    for order, text in enumerate(["aaaa", "bbbb cccc dddd eeee", "f"]):
        setup.add(text, order)
    assert setup.admit() == ["r0"]
    assert setup.events == [HeldBack("r1", "not enough free KV pages")]


def test_expected_output_of_all_counts_against_the_pool():
    setup = Setup(num_pages=10)
    for order in range(3):
        setup.add("aaaa"[: order + 1] + "xyz", order, max_new_tokens=30)
    assert setup.admit() == ["r0"], "with 21 more of each, 40 tokens are too few"
    setup.estimate.ratio = 0.1
    assert setup.admit() == ["r1", "r2"]


def test_alone_a_request_needs_room_for_its_tokens_only():
    setup = Setup(num_pages=4)
    setup.add("aaaa bbbb cccc ddd", max_new_tokens=1000)
    assert setup.admit() == ["r0"]


def test_unused_prefixes_make_room():
    setup = Setup(num_pages=4)
    serve(setup.cache, "aaaa bbbb cccc dddd")
    setup.add("eeee ffff gggg hhh")
    assert setup.admit() == ["r0"]


def test_own_cached_prefix_is_not_counted_as_room():
    setup = Setup(num_pages=4)
    serve(setup.cache, "aaaa bbbb cccc")
    setup.add("z", 0)
    setup.add("aaaa bbbb cccc dddd eeee", 1)
    assert setup.admit() == ["r0"], "three pages are cached, none is left for the other two"


def test_refusal_leaves_no_trace():
    setup = Setup(num_pages=4)
    serve(setup.cache, "aaaa bbbb")
    setup.add("z", 0)
    sequence = setup.add("aaaa bbbb cccc dddd eeee ffff", 1)
    setup.admit()
    (node,) = setup.cache.tree.nodes()
    before = (node.lock_count, node.num_hits, node.last_used)
    for _ in range(3):
        assert setup.admit() == []
    assert (node.lock_count, node.num_hits, node.last_used) == before
    assert sequence.pages is None and sequence.num_computed == 0


def test_request_waits_for_a_prefix_in_flight():
    setup = Setup()
    first = setup.add("aaaa bbbb c", 0)
    waiter = setup.add("aaaa bbbb x", 1)
    setup.add("zzzz y", 2)
    assert setup.admit() == ["r0", "r2"]
    assert HeldBack("r1", "r0 is computing its prefix") in setup.events
    write(setup.cache, first)
    setup.prefixes.written(first, 0, 2, lambda sequence: None)
    assert setup.admit() == ["r1"]
    assert waiter.num_computed == 8


def test_request_does_not_wait_for_one_that_left():
    setup = Setup()
    first = setup.add("aaaa bbbb c", 0)
    setup.add("aaaa bbbb x", 1)
    setup.admit()
    setup.prefixes.stop(first)
    assert setup.admit() == ["r1"]


def test_stale_hint_is_corrected():
    setup = Setup()
    serve(setup.cache, "aaaa bbbb")
    sequence = setup.add("aaaa bbbb x")
    assert sequence.num_hinted_pages == 2
    setup.cache.flush()
    assert setup.admit() == ["r0"]
    assert sequence.num_computed == 0 and sequence.num_hinted_pages == 0


def test_evicted_prefix_that_is_computed_again_is_waited_for():
    setup = Setup()
    serve(setup.cache, "aaaa bbbb")
    waiter = setup.add("aaaa bbbb x", 1)
    setup.cache.flush()
    setup.add("aaaa bbbb y", 0)
    assert waiter.num_hinted_pages == 2
    assert setup.admit() == ["r0"]
    assert waiter.num_hinted_pages == 0


def test_what_may_not_be_shared_is_computed_anew():
    setup = Setup()
    serve(setup.cache, "aaaa bbbb")
    sequence = setup.add("aaaa bbbb x")
    sequence.can_share = sequence.can_insert = False
    assert setup.admit() == ["r0"]
    assert sequence.num_computed == 0
    assert setup.prefixes.is_empty


def test_nobody_waits_for_pages_that_will_not_be_inserted():
    setup = Setup()
    setup.add("aaaa bbbb c", 0).can_insert = False
    setup.add("aaaa bbbb x", 1)
    assert setup.admit() == ["r0", "r1"]


@pytest.mark.parametrize("limit", [1, 2])
def test_pages_are_taken_only_by_those_asked_for(limit):
    setup = Setup()
    for order, text in enumerate(["aaaa", "bbbb", "cccc"]):
        setup.add(text, order)
    setup.admit(limit)
    assert setup.cache.allocators[0].num_free == 32 - limit


def test_priority_of_the_request_reaches_its_prefix():
    setup = Setup()
    sequence = setup.add("aaaa b", priority=7)
    setup.admit()
    write(setup.cache, sequence)
    assert [node.priority for node in setup.cache.tree.nodes()] == [7]
