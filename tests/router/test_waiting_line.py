from __future__ import annotations

import random

import pytest

from sglite.config_parallel import RoutingOptions
from sglite.errors import CapacityError
from sglite.router.policies import RoutedRequest
from sglite.router.router import Router
from sglite.router.waiting_line import WaitingLine


def request(name: str) -> RoutedRequest:
    return RoutedRequest(name, 10)


def line_of(max_waiting: int = 100, **limits: int) -> tuple[Router, WaitingLine]:
    router = Router(RoutingOptions(routing_policy="shortest_queue", **limits), 2)
    return router, WaitingLine(router, max_waiting)


def test_first_come_first_go_and_nobody_overtakes() -> None:
    router, line = line_of(max_inflight_total=2)
    assert [line.enter(request(name), 0.0) for name in "abcde"] == [0, 1, None, None, None]
    assert len(line) == 3 and "c" in line and "a" not in line
    assert line.leave(0.0) == []
    router.finished("b", 1.0)
    assert line.enter(request("f"), 1.0) is None, "there is room, but others were first"
    assert line.leave(1.0) == [("c", 1)]
    router.finished("a", 2.0)
    router.finished("c", 2.0)
    assert line.leave(2.0) == [("d", 0), ("e", 1)] and len(line) == 1


def test_who_gives_up_is_not_routed() -> None:
    router, line = line_of(max_inflight_total=1)
    for name in "abc":
        line.enter(request(name), 0.0)
    assert line.give_up("b") and not line.give_up("b") and not line.give_up("a")
    router.finished("a", 0.0)
    assert line.leave(0.0) == [("c", 0)]


def test_a_full_line_is_refused_with_a_word_when_to_come_again() -> None:
    _, line = line_of(max_waiting=2, max_inflight_total=1)
    for name in "abc":
        line.enter(request(name), 0.0)
    with pytest.raises(CapacityError, match="2 requests wait for an engine") as refusal:
        line.enter(request("d"), 0.0)
    assert refusal.value.retry_after_s and "d" not in line and len(line) == 2


def test_an_id_in_use_is_refused_where_it_is_open_and_where_it_waits() -> None:
    _, line = line_of(max_inflight_total=1)
    line.enter(request("a"), 0.0)
    with pytest.raises(ValueError, match="a is open"):
        line.enter(request("a"), 0.0)
    line.enter(request("b"), 0.0)
    with pytest.raises(ValueError, match="b waits"):
        line.enter(request("b"), 0.0)


def test_all_wait_while_no_engine_is_up() -> None:
    router, line = line_of()
    router.take_out(0)
    router.take_out(1)
    assert line.enter(request("a"), 0.0) is None
    router.put_back(1)
    assert line.leave(0.0) == [("a", 1)]


def test_nobody_is_lost() -> None:
    rng, (router, line) = random.Random(0), line_of(max_waiting=50, max_inflight_per_engine=3)
    routed: list[str] = []
    waiting: list[str] = []
    is_open: set[str] = set()
    for number in range(3_000):
        name = f"r{number}"
        if rng.random() < 0.5 and len(waiting) < 50:
            if line.enter(request(name), 0.0) is None:
                waiting.append(name)
            else:
                is_open.add(name)
        elif rng.random() < 0.05 and waiting:
            gone = waiting.pop(rng.randrange(len(waiting)))
            assert line.give_up(gone)
        elif is_open:
            gone = rng.choice(sorted(is_open))
            is_open.remove(gone)
            router.finished(gone, 0.0)
            left = [name for name, _ in line.leave(0.0)]
            assert left == waiting[: len(left)], "not in the order of arrival"
            del waiting[: len(left)]
            routed += left
            is_open |= set(left)
        assert len(line) == len(waiting) and len(is_open) <= 6
    assert len(routed) > 1_000
