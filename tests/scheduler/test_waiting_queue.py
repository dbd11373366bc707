"""Every policy's order can be seen, and none of them starves anybody."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest

from sglite.config import SchedulerOptions
from sglite.scheduler.sequence import SequenceState
from sglite.scheduler.waiting_queue import POLICIES, WaitingQueue
from tests.kvcache.building import make_cache, serve
from tests.scheduler.building import make_sequence


def make_queue(policy: str, cache=None, **options: Any) -> WaitingQueue:
    options = {"max_wait_s": 10.0, "lpm_fallback_threshold": 1000, "seed": 0} | options
    return WaitingQueue(policy, cache or make_cache(), **options)


def names(queue: WaitingQueue, now: float = 0.0) -> list[str]:
    return [sequence.request_id for sequence in queue.ordered(now)]


def fill(queue: WaitingQueue, texts: list[str], **fields: Any) -> None:
    for order, text in enumerate(texts):
        queue.add(make_sequence(text, order, **fields))


def test_policies_are_those_of_the_option():
    choices = get_args(get_type_hints(SchedulerOptions)["schedule_policy"])
    assert set(choices) == set(POLICIES)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_orders_everybody_once(policy):
    queue = make_queue(policy)
    fill(queue, ["aaaa b", "cc", "aaaa d", "e"])
    assert sorted(names(queue)) == ["r0", "r1", "r2", "r3"]


def test_fcfs_is_the_order_of_arrival():
    queue = make_queue("fcfs")
    for order in (0, 2, 3, 1):
        queue.add(make_sequence("a", order))
    assert names(queue) == ["r0", "r1", "r2", "r3"]


def test_lpm_takes_the_longest_cached_prefix_first():
    queue = make_queue("lpm")
    for order, num_pages in enumerate([0, 2, 1, 2]):
        sequence = make_sequence("aaaa bbbb c", order)
        sequence.num_hinted_pages = num_pages
        queue.add(sequence)
    assert names(queue) == ["r1", "r3", "r2", "r0"]


def test_lpm_follows_hints_once_it_is_told():
    queue = make_queue("lpm")
    fill(queue, ["aaaa b", "aaaa c"])
    assert names(queue) == ["r0", "r1"]
    queue.arrivals[1].num_hinted_pages = 1
    assert names(queue) == ["r0", "r1"], "the order is kept until something changes"
    queue.reorder()
    assert names(queue) == ["r1", "r0"]


def test_lpm_is_by_arrival_in_a_long_queue():
    queue = make_queue("lpm", lpm_fallback_threshold=2)
    fill(queue, ["aaaa b", "aaaa c"])
    queue.arrivals[1].num_hinted_pages = 1
    assert names(queue) == ["r1", "r0"]
    queue.add(make_sequence("aaaa d", 2))
    assert names(queue) == ["r0", "r1", "r2"]


def test_lof_takes_the_longest_output_first():
    queue = make_queue("lof")
    for order, max_new_tokens in enumerate([5, 50, 20, 50]):
        queue.add(make_sequence("a" * (10 - order), order, max_new_tokens=max_new_tokens))
    assert names(queue) == ["r1", "r3", "r2", "r0"]


def test_lof_counts_what_is_left_to_generate():
    queue = make_queue("lof")
    returned = make_sequence("a", 0, max_new_tokens=50)
    for token in range(45):
        returned.append_token(token)
    queue.add(returned)
    queue.add(make_sequence("a", 1, max_new_tokens=10))
    assert names(queue) == ["r1", "r0"]


def test_priority_takes_the_highest_first_then_by_arrival():
    queue = make_queue("priority")
    for order, priority in enumerate([0, 2, -1, 2]):
        queue.add(make_sequence("a", order, priority=priority))
    assert names(queue) == ["r1", "r3", "r0", "r2"]


def test_random_depends_on_the_seed_alone():
    orders = []
    for seed in (0, 0, 1):
        queue = make_queue("random", seed=seed)
        fill(queue, ["a"] * 20)
        orders.append(names(queue))
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != [f"r{i}" for i in range(20)]


@pytest.mark.parametrize("policy", ["dfs-weight", "weight"])
def test_dfs_weight_takes_the_heaviest_branch_together(policy):
    cache = make_cache()
    for text in ("aaaa bbbb", "aaaa cccc", "dddd"):
        serve(cache, text)
    queue = make_queue(policy, cache)
    texts = ["dddd x", "aaaa bbbb x", "zzzz", "aaaa cccc x", "dddd y", "aaaa cccc y", "aaaa x"]
    fill(queue, texts)
    heaviest = ["aaaa x", "aaaa cccc x", "aaaa cccc y", "aaaa bbbb x"]
    expected = [*heaviest, "dddd x", "dddd y", "zzzz"]
    assert [texts[int(name[1:])] for name in names(queue)] == expected


def test_dfs_weight_takes_equal_branches_by_arrival():
    cache = make_cache()
    for text in ("aaaa", "bbbb", "cccc", "dddd eeee", "dddd ffff"):
        serve(cache, text)
    queue = make_queue("dfs-weight", cache)
    fill(queue, ["cccc x", "aaaa x", "bbbb x", "dddd ffff x", "dddd eeee x"])
    assert names(queue) == ["r3", "r4", "r0", "r1", "r2"]


# -- the aging bound -------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_aged_requests_come_first_by_arrival(policy):
    queue = make_queue(policy, max_wait_s=10.0)
    for order in range(6):
        sequence = make_sequence("a", order, now=float(order), priority=order, max_new_tokens=order)
        sequence.num_hinted_pages = order
        queue.add(sequence)
    rest = names(queue, now=9.9)
    assert names(queue, now=11.0) == ["r0", "r1"] + [n for n in rest if n not in ("r0", "r1")]
    assert names(queue, now=15.0) == [f"r{i}" for i in range(6)]


# -- coming and going ------------------------------------------------------------------------------


def test_departed_are_forgotten_with_their_tokens():
    queue = make_queue("lpm")
    fill(queue, ["aaa", "bb", "c"])
    assert (len(queue), queue.num_tokens) == (3, 6)
    names(queue)
    queue.arrivals[0].state = SequenceState.RUNNING
    queue.arrivals[2].state = SequenceState.SETTLED
    queue.drop_departed()
    assert names(queue) == ["r1"]
    assert (len(queue), queue.num_tokens) == (1, 2)


def test_order_is_kept_when_others_leave():
    queue = make_queue("random")
    fill(queue, ["a"] * 10)
    before = names(queue)
    queue.arrivals[4].state = SequenceState.RUNNING
    queue.drop_departed()
    assert names(queue) == [name for name in before if name != "r4"]


def test_returning_sequence_takes_its_old_place_and_counts_its_output():
    queue = make_queue("fcfs")
    fill(queue, ["a", "b", "c"])
    first = queue.arrivals[0]
    first.state = SequenceState.RUNNING
    queue.drop_departed()
    first.append_token(1)
    first.state = SequenceState.WAITING
    queue.add(first)
    assert names(queue) == ["r0", "r1", "r2"]
    assert queue.num_tokens == 4
