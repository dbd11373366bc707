from __future__ import annotations

import random
from collections import defaultdict

import pytest

from sglite.config_parallel import RoutingOptions
from sglite.router.policies import EngineLoad, RoutedRequest
from sglite.router.router import Router
from tests.router.simulation import Fleet, groups_of_prompts, ids
from tests.router.test_prefix_index import added

IDEAL = 8 * 1024 + 128 * 16
"""Prompt tokens of eight groups of sixteen, each shared start computed once."""


def router_of(policy: str = "shortest_queue", num_engines: int = 2, **options: int) -> Router:
    return Router(RoutingOptions(routing_policy=policy, **options), num_engines)


def request(name: str, num_tokens: int = 10, *hashes: int) -> RoutedRequest:
    return RoutedRequest(name, num_tokens, lambda: hashes)


# -- eight groups of sixteen requests over four engines --------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("way", ["burst", "one by one", "late digests", "no digests"])
def test_cache_aware_computes_little_more_than_each_prefix_once(way: str, seed: int) -> None:
    prompts = [prompt for _, prompt in groups_of_prompts(random.Random(seed))]
    fleets = {
        policy: Fleet(policy, tells=way != "no digests")
        for policy in ("round_robin", "cache_aware")
    }
    for fleet in fleets.values():
        if way == "burst":
            fleet.burst(prompts)
        else:
            fleet.one_by_one(prompts, tells_every=10 if way == "late digests" else 1)
    computed = fleets["cache_aware"].num_computed_tokens
    assert computed <= 0.40 * fleets["round_robin"].num_computed_tokens
    print(way, seed, computed / fleets["round_robin"].num_computed_tokens, computed / IDEAL)


def test_a_burst_is_spread_by_groups() -> None:
    prompts = groups_of_prompts(random.Random(0))
    places = Fleet("cache_aware").burst([prompt for _, prompt in prompts])
    engines = defaultdict(set)
    for (group, _), place in zip(prompts, places, strict=True):
        engines[group].add(place)
    assert all(len(numbers) == 1 for numbers in engines.values())
    assert {places.count(number) for number in range(4)} <= {16, 32, 48}


def test_prefixes_that_come_one_by_one_are_spread_over_idle_engines() -> None:
    fleet = Fleet("cache_aware")
    fleet.one_by_one([prompt for _, prompt in groups_of_prompts(random.Random(0))])
    computed = [engine.num_computed_tokens for engine in fleet.engines]
    assert max(computed) < 1.2 * min(computed)


def test_a_prefix_that_all_share_does_not_overload_one_engine() -> None:
    rng = random.Random(0)
    shared = ids(rng, 1024)
    prompts = [shared + ids(rng, 16) for _ in range(128)]
    places = Fleet("cache_aware", balance_tokens=8_192).burst(prompts)
    counts = [places.count(number) for number in range(4)]
    assert min(counts) > 128 / 4 / 3 and max(counts) < 128 / 4 * 2


def test_caches_that_evict_are_followed() -> None:
    rng = random.Random(0)
    prompts = [prompt for _, prompt in groups_of_prompts(rng, num_groups=24, num_each=8)]
    fleets = {name: Fleet(name, num_pages=512) for name in ("round_robin", "cache_aware")}
    for fleet in fleets.values():
        fleet.one_by_one(prompts, tells_every=5)
    aware, blind = fleets["cache_aware"], fleets["round_robin"]
    assert aware.num_computed_tokens < 0.5 * blind.num_computed_tokens
    assert aware.router.index.num_known <= 4 * 512


# -- loads and limits ------------------------------------------------------------------------------


def test_loads_count_what_is_open() -> None:
    router = router_of()
    assert [router.try_route(request(str(i), 10 + i), 0.0) for i in range(3)] == [0, 1, 0]
    assert router.loads() == [EngineLoad(0, 2, 22), EngineLoad(1, 1, 11)]
    assert [router.engine_of(name) for name in ("0", "1", "x")] == [0, 1, None]
    router.finished("0", 1.0)
    router.finished("0", 1.0)
    router.finished("x", 1.0)
    assert router.loads() == [EngineLoad(0, 1, 12), EngineLoad(1, 1, 11)]
    assert router.try_route(request("0"), 1.0) == 1


def test_an_open_id_is_not_routed_twice() -> None:
    router = router_of()
    router.try_route(request("a"), 0.0)
    with pytest.raises(ValueError, match="the request id a is open"):
        router.try_route(request("a"), 0.0)


def test_no_engine_gets_more_than_its_limit() -> None:
    router = router_of(max_inflight_per_engine=2)
    tokens = [1, 1_000, 1, 1]
    places = [router.try_route(request(str(i), tokens[i]), 0.0) for i in range(4)]
    assert places == [0, 1, 0, 1], "the third one fills 0, which is the least loaded still"
    assert router.try_route(request("4"), 0.0) is None
    router.finished("1", 0.0)
    assert router.try_route(request("4"), 0.0) == 1


def test_all_together_get_no_more_than_their_limit() -> None:
    router = router_of(max_inflight_total=3)
    assert [router.try_route(request(str(i)), 0.0) for i in range(4)] == [0, 1, 0, None]
    router.finished("1", 0.0)
    assert router.try_route(request("3"), 0.0) == 1
    router.drain(0)
    assert router.try_route(request("4"), 0.0) is None, "what drains counts as well"


def test_what_other_routers_have_open_counts() -> None:
    router = router_of()
    router.try_route(request("a", 10), 0.0)
    router.take_load(0, num_requests=2, num_tokens=60)
    assert router.loads()[0] == EngineLoad(0, 2, 60)
    assert router.try_route(request("b", 10), 0.0) == 1
    assert router.try_route(request("c", 100), 0.0) == 1
    assert router.try_route(request("d", 10), 0.0) == 0
    assert router.loads()[0] == EngineLoad(0, 3, 70)
    router.take_load(1, num_requests=0, num_tokens=0)  # said before it had heard of ours
    assert router.loads()[1] == EngineLoad(1, 2, 110)
    router.take_load(0, num_requests=2, num_tokens=20)
    assert router.loads()[0] == EngineLoad(0, 2, 20)
    router.take_load(9, 1, 1)  # an engine that is gone


@pytest.mark.parametrize("limit", ["max_inflight_total", "max_inflight_per_engine"])
def test_limits_are_on_what_this_router_has_open(limit: str) -> None:
    """Nobody would tell it when a request of another router has ended."""
    router = router_of(**{limit: 1})
    router.take_load(0, num_requests=5, num_tokens=50)
    router.take_load(1, num_requests=5, num_tokens=50)
    assert router.try_route(request("a"), 0.0) is not None


# -- engines come and go ---------------------------------------------------------------------------


def test_what_is_open_at_a_dead_engine_is_returned_and_can_be_routed_anew() -> None:
    router = router_of("cache_aware")
    router.take_digest(0, added(1, 2))
    names = ["a", "b", "c"]
    assert [router.try_route(request(name, 10, 1, 2, 3), 0.0) for name in names] == [0, 0, 0]
    assert router.take_out(0) == names
    assert router.loads()[0] == EngineLoad(0)
    assert router.index.num_known == router.index.num_expected == 0
    assert [router.try_route(request(name, 10, 1, 2, 3), 1.0) for name in names] == [1, 1, 1]
    assert router.take_out(1) == names
    assert router.try_route(request("a"), 1.0) is None
    router.put_back(0)
    assert router.try_route(request("a"), 1.0) == 0
    for name in names:
        router.finished(name, 2.0)
    router.index.expire(1e9)
    assert router.index.num_expected == 0 and router.loads() == [EngineLoad(0), EngineLoad(1)]


def test_what_drains_keeps_its_requests_and_its_cache() -> None:
    router = router_of("cache_aware")
    router.take_digest(0, added(1, 2))
    assert router.try_route(request("a", 10, 1), 0.0) == 0
    router.drain(0)
    assert router.try_route(request("b", 10, 1), 0.0) == 1
    assert router.loads()[0].num_requests == 1
    router.put_back(0)
    assert router.try_route(request("c", 10, 1, 2), 0.0) == 0


def test_engines_are_added_and_removed() -> None:
    router = router_of(num_engines=1)
    assert (router.add_engine(), router.add_engine(is_up=False)) == (1, 2)
    places = [router.try_route(request(str(i)), 0.0) for i in range(4)]
    assert places == [0, 1, 0, 1], "2 is not up yet"
    router.put_back(2)
    assert router.try_route(request("4"), 0.0) == 2
    router.take_digest(0, added(1))
    assert router.remove_engine(0) == ["0", "2"]
    assert [load.engine for load in router.loads()] == [1, 2]
    router.take_digest(0, added(1))  # it was on its way
    assert router.index.num_known == 0
    assert router.add_engine() == 0, "the lowest free number"
    assert [load.engine for load in router.loads()] == [0, 1, 2]
    assert router.try_route(request("5"), 0.0) == 0


def test_a_fleet_that_changes_loses_and_doubles_no_request() -> None:
    rng = random.Random(0)
    router = router_of("cache_aware", 4, max_inflight_per_engine=8, max_inflight_total=20)
    open_at: dict[str, int] = {}
    for number in range(3_000):
        now, action = number * 0.01, rng.random()
        engines = [load.engine for load in router.loads()]
        if action < 0.6:
            name, group = f"r{number}", rng.randrange(6)
            engine = router.try_route(request(name, rng.randrange(1, 99), group, 10 + number), now)
            if engine is not None:
                open_at[name] = engine
        elif action < 0.9 and open_at:
            name = rng.choice(sorted(open_at))
            router.finished(name, now)
            del open_at[name]
        elif action < 0.92:
            gone = rng.choice(engines)
            names = router.take_out(gone)
            assert sorted(names) == sorted(n for n, engine in open_at.items() if engine == gone)
            for name in names:
                del open_at[name]
        elif action < 0.98:
            router.put_back(rng.choice(engines))
        elif action < 0.99:
            router.add_engine()
        elif len(engines) > 1:
            gone = rng.choice(engines)
            for name in router.remove_engine(gone):
                assert open_at.pop(name) == gone
        counts = {load.engine: load.num_requests for load in router.loads()}
        truth = {engine: list(open_at.values()).count(engine) for engine in counts}
        assert counts == truth and max(counts.values()) <= 8 and len(open_at) <= 20
    assert len(open_at) > 3
