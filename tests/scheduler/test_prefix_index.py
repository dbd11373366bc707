"""Who computes a page, who waits for it, and what a waiting request is told."""

from __future__ import annotations

import pytest

from sglite.request import LogprobParams
from sglite.scheduler.prefix_index import PrefixIndex
from tests.scheduler.building import PAGE, make_sequence


@pytest.fixture
def index() -> PrefixIndex:
    return PrefixIndex(PAGE)


def written(index, sequence, first: int, end: int) -> list[str]:
    """Who is told when pages ``[first, end)`` of ``sequence`` are written."""
    told: list[str] = []
    index.written(sequence, first, end, lambda waiter: told.append(waiter.request_id))
    return told


def test_page_in_flight_is_computed_by_its_first_sequence(index):
    first, second = make_sequence("aaaa bbbb c", 0), make_sequence("aaaa bbbb d", 1)
    waiter = make_sequence("aaaa bbbb x", 2)
    index.start(first, 0)
    index.start(second, 0)
    assert index.computing(waiter, 0) is first
    assert index.computing(waiter, 1) is first


def test_nobody_waits_for_itself(index):
    sequence = make_sequence("aaaa b")
    index.start(sequence, 0)
    assert index.computing(sequence, 0) is None


def test_page_that_was_cached_already_is_not_in_flight(index):
    index.start(make_sequence("aaaa bbbb c", 0), 1)
    waiter = make_sequence("aaaa bbbb x", 1)
    assert index.computing(waiter, 0) is None
    assert index.computing(waiter, 1) is not None


def test_page_beyond_what_a_match_may_use_is_not_waited_for(index):
    index.start(make_sequence("aaaa bbbb c", 0), 0)
    assert index.computing(make_sequence("aaaa", 1), 0) is None, "its last token is its own"
    wants_logprobs = make_sequence("aaaa bbbb x", 2, logprobs=LogprobParams(start_len=1))
    assert index.computing(wants_logprobs, 0) is None


def test_other_namespace_is_not_waited_for(index):
    index.start(make_sequence("aaaa b", 0, namespace="one"), 0)
    assert index.computing(make_sequence("aaaa b", 1, namespace="two"), 0) is None


def test_equal_hash_of_different_tokens_is_not_believed(index):
    running, waiter = make_sequence("aaaa b", 0), make_sequence("cccc d", 1)
    waiter.page_hashes = list(running.page_hashes)
    index.start(running, 0)
    assert index.computing(waiter, 0) is None


def test_stopped_sequence_computes_nothing(index):
    first, second = make_sequence("aaaa b", 0), make_sequence("aaaa b", 1)
    index.start(first, 0)
    index.start(second, 0)
    index.stop(second)
    assert index.computing(make_sequence("aaaa x", 2), 0) is first
    index.stop(first)
    assert index.computing(make_sequence("aaaa x", 2), 0) is None
    assert index.is_empty


def test_waiter_learns_when_the_page_it_lacks_is_written(index):
    running = make_sequence("aaaa bbbb cccc d", 0)
    index.start(running, 0)
    waiters = [make_sequence(text, i) for i, text in enumerate(["aaaa bbbb x", "aaaa yyyy"], 1)]
    for waiter in waiters:
        index.watch(waiter, 0)
    assert written(index, running, 0, 1) == ["r1", "r2"]
    assert [waiter.num_hinted_pages for waiter in waiters] == [1, 1]
    assert written(index, running, 1, 2) == ["r1"]
    assert [waiter.num_hinted_pages for waiter in waiters] == [2, 1]


def test_several_pages_at_once_are_told_once(index):
    running, waiter = make_sequence("aaaa bbbb cccc d", 0), make_sequence("aaaa bbbb cccc x", 1)
    index.watch(waiter, 0)
    assert written(index, running, 0, 3) == ["r1"]
    assert waiter.num_hinted_pages == 3


def test_waiter_for_a_later_page_is_not_told_of_earlier_ones(index):
    running, waiter = make_sequence("aaaa bbbb cccc d", 0), make_sequence("aaaa bbbb cccc x", 1)
    index.watch(waiter, 2)
    assert written(index, running, 0, 2) == []
    assert written(index, running, 2, 3) == ["r1"]


def test_written_page_is_no_longer_in_flight(index):
    running = make_sequence("aaaa bbbb c", 0)
    index.start(running, 0)
    written(index, running, 0, 1)
    waiter = make_sequence("aaaa bbbb x", 1)
    assert index.computing(waiter, 0) is None
    assert index.computing(waiter, 1) is running


def test_waiter_that_left_is_not_told(index):
    running, waiter = make_sequence("aaaa b", 0), make_sequence("aaaa x", 1)
    index.watch(waiter, 0)
    index.unwatch(waiter)
    index.unwatch(waiter)
    assert written(index, running, 0, 1) == []
    assert index.is_empty


def test_watching_anew_forgets_the_old_page(index):
    running, waiter = make_sequence("aaaa bbbb c", 0), make_sequence("aaaa bbbb x", 1)
    index.watch(waiter, 1)
    index.watch(waiter, 0)
    assert written(index, running, 1, 2) == []
    assert written(index, running, 0, 1) == ["r1"]


def test_sequence_whose_pages_are_all_cached_watches_nothing(index):
    waiter = make_sequence("aaaa bbbb c")
    index.watch(waiter, 2)
    assert waiter.num_hinted_pages == 2 and index.is_empty
