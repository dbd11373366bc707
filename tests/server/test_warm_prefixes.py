"""Prefixes of the start: each is computed once, and one that fails stops nothing."""

from __future__ import annotations

import asyncio

from sglite.server.warm_prefixes import warm_prefixes
from tests.server.fake_engine import make_front
from tests.server.fake_fleet import fake_engine, join, make_fleet_front, until


def warmed(text, change=None):
    """The requests that warming these prefixes makes."""

    async def main():
        front = make_front(warm_prefix=text)
        if change is not None:
            change(front)
        await warm_prefixes(front)
        assert front.engine.num_open_requests == 0
        return front.engine.requests

    return asyncio.run(main())


def test_every_text_is_computed_and_nothing_is_generated():
    requests = warmed("Hello there||one two")
    assert [request.max_new_tokens for request in requests] == [0, 0]
    assert not any(request.pin_prefix for request in requests)


def test_nothing_to_warm():
    assert warmed(None) == []


def test_a_text_that_does_not_fit_is_left_out():
    assert len(warmed("word " * 2000 + "||fine")) == 1


def test_a_dead_engine_is_no_fault_here():
    def kill(front):
        front.engine.is_alive = False

    assert warmed("a||b", kill) == []


def test_every_engine_is_warmed_also_one_that_comes_back():
    async def main():
        front, engines = await make_fleet_front(2, warm_prefix="Hello there")
        assert await warm_prefixes(front) == 1
        assert [len(engine.requests) for engine in engines] == [1, 1]
        engines[0].die()
        again = fake_engine()
        await join(front, 0, again)
        await until(lambda: again.requests)
        assert [len(engine.requests) for engine in engines] == [1, 1]

    asyncio.run(main())
