"""For every policy: the request lands where the rule says."""

from __future__ import annotations

from collections import Counter

import pytest

from sglite.config_parallel import RoutingOptions
from sglite.router.policies import (
    EngineLoad,
    RoutedRequest,
    RoutingPolicy,
    Sticky,
    least_loaded,
    make_policy,
)
from sglite.router.prefix_index import PrefixIndex
from tests.router.test_prefix_index import added

CACHED = {0: [1], 1: [1, 2], 2: [1, 2, 3], 3: [1, 2, 3]}
"""Hashes that the engines of a case have."""


def loads(*num_tokens: int | None, requests: tuple[int, ...] = ()) -> list[EngineLoad]:
    """One engine for each number; None: it may not be chosen."""
    counts = [*requests, *[0] * len(num_tokens)]
    return [
        EngineLoad(number, counts[number], tokens)
        for number, tokens in enumerate(num_tokens)
        if tokens is not None
    ]


def request(name: str = "r", *hashes: int, session: str | None = None) -> RoutedRequest:
    return RoutedRequest(name, 10, lambda: hashes, session)


def policy_of(name: str, index: PrefixIndex | None = None, **options: float) -> RoutingPolicy:
    chosen = RoutingOptions(routing_policy=name, **options)
    return make_policy(chosen, index or PrefixIndex(), seed=0)


def never() -> list[int]:
    raise AssertionError("this policy has no use for hashes")


@pytest.mark.parametrize("name", ["round_robin", "shortest_queue", "random"])
def test_who_does_not_look_at_prefixes_computes_no_hashes(name: str) -> None:
    assert policy_of(name).choose(RoutedRequest("r", 10, never), loads(0, 0)) in (0, 1)


@pytest.mark.parametrize(
    ("choosable", "chosen"),
    [
        ([[0, 1, 2]] * 7, [0, 1, 2, 0, 1, 2, 0]),
        ([[0, 1, 2], [0, 2], [0, 1, 2], [0, 1, 2]], [0, 2, 0, 1]),
        ([[1], [1], [0, 1], [0, 1]], [1, 1, 0, 1]),
        ([[2], [0, 1, 2], [1, 2], [0]], [2, 0, 1, 0]),
    ],
)
def test_round_robin_takes_the_next_number(choosable: list[list[int]], chosen: list[int]) -> None:
    policy = policy_of("round_robin")
    for numbers, engine in zip(choosable, chosen, strict=True):
        assert policy.choose(request(), [EngineLoad(number) for number in numbers]) == engine


@pytest.mark.parametrize(
    ("given", "engine"),
    [
        (loads(5, 3, 4), 1),
        (loads(3, 3, 4, requests=(2, 1, 0)), 1),
        (loads(3, 3, 3, requests=(1, 1, 1)), 0),
        (loads(9, None, 9), 0),
        (loads(None, 9, 8), 2),
    ],
)
def test_shortest_queue_takes_the_least_loaded(given: list[EngineLoad], engine: int) -> None:
    assert policy_of("shortest_queue").choose(request(), given) == engine
    assert least_loaded(given).engine == engine


def test_random_takes_each_as_often_and_the_same_ones_for_a_seed() -> None:
    one, two = policy_of("random"), policy_of("random")
    chosen = [one.choose(request(), loads(9, 0, None, 5)) for _ in range(3_000)]
    assert chosen == [two.choose(request(), loads(9, 0, None, 5)) for _ in range(3_000)]
    counts = Counter(chosen)
    assert set(counts) == {0, 1, 3} and min(counts.values()) > 900


@pytest.mark.parametrize(
    ("hashes", "given", "engine"),
    [
        ([1, 2, 3, 4], loads(0, 0, 9, 8), 3),  # deepest, then load
        ([1, 2, 3, 4], loads(0, 0, 8, 8, requests=(0, 0, 1, 2)), 2),
        ([1, 2, 3, 4], loads(0, 0, 8, None), 2),
        ([1, 2, 3, 4], loads(0, 5, None, None), 1),  # the best that may be chosen
        ([1, 2], loads(0, 9, 8, 7), 3),
        ([9], loads(3, 1, 2, 4), 1),  # nobody has any: the least loaded
        ([], loads(3, 2, 1, 4), 2),
        ([1, 2, 3], loads(100, 100, 200, 200), 2),  # ahead by 100 and 2 times: not by more
        ([1, 2, 3], loads(100, 100, 201, 201), 0),  # ahead by more of both
        ([1, 2, 3], loads(500, 500, 700, 700), 2),  # by more than 100, but not 2 times
        ([1, 2, 3], loads(10, 10, 90, 90), 2),  # 9 times, but by no more than 100
        ([1, 2, 3], loads(0, 0, 101, 101), 0),
        ([1, 2, 3], loads(300, 0, 301, 140), 1),
        ([1, 2, 3], loads(300, 60, 301, 140), 3),
    ],
)
def test_cache_aware_takes_the_deepest_match_unless_it_is_far_ahead(
    hashes: list[int], given: list[EngineLoad], engine: int
) -> None:
    index = PrefixIndex()
    for number, names in CACHED.items():
        index.apply(number, added(*names))
    policy = policy_of("cache_aware", index, balance_tokens=100, balance_factor=2.0)
    assert policy.choose(request("r", *hashes), given) == engine


def test_cache_aware_expects_what_it_has_sent() -> None:
    index = PrefixIndex()
    policy = policy_of("cache_aware", index)
    assert policy.choose(request("a", 1, 2, 3), loads(5, 4, 6)) == 1
    assert policy.choose(request("b", 1, 2, 4), loads(5, 9, 6)) == 1
    assert policy.choose(request("c", 7, 8), loads(5, 9, 6)) == 0
    assert [index.depth_at(1, hashes) for hashes in ([1, 2, 3], [1, 2, 4], [7])] == [3, 3, 0]


def test_sticky_keeps_a_session_while_its_engine_may_be_chosen() -> None:
    policy = policy_of("sticky")

    def place(session: str | None, *num_tokens: int | None) -> int:
        return policy.choose(request("r", session=session), loads(*num_tokens))

    assert place("s", 5, 3, 4) == 1
    assert place("s", 0, 1_000_000, 0) == 1, "whatever its load"
    assert place("t", 0, 9, 1) == 0
    assert place("s", 5, None, 4) == 2, "it may not be chosen: the session moves"
    assert place("s", 0, 0, 9) == 2, "and stays there"
    assert place(None, 9, 8, 9) == place(None, 9, 8, 9) == 1


def test_sticky_places_new_sessions_and_requests_without_one_by_prefix() -> None:
    index = PrefixIndex()
    index.apply(2, added(1, 2))
    policy = policy_of("sticky", index)
    assert policy.choose(request("a", 1, 2, session="s"), loads(0, 0, 9)) == 2
    assert policy.choose(request("b", 1, 2), loads(0, 0, 9)) == 2
    assert policy.choose(RoutedRequest("c", 10, never, "s"), loads(0, 0, 9)) == 2


def test_sticky_forgets_who_asked_longest_ago() -> None:
    policy = Sticky(policy_of("shortest_queue"), max_sessions=2)

    def place(session: str, *num_tokens: int) -> int:
        return policy.choose(request("r", session=session), loads(*num_tokens))

    assert [place("a", 0, 9), place("b", 0, 9), place("a", 9, 0)] == [0, 0, 0]
    assert place("c", 0, 9) == 0  # b is forgotten
    assert [place("a", 9, 0), place("b", 9, 0)] == [0, 1]
