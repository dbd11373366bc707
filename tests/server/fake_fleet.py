"""A front over several engines that answer as :class:`FakeEngine` does."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import msgspec

from sglite.config_parallel import RoutingOptions
from sglite.ipc.fleet_client import FleetClient
from sglite.router.router import Router
from sglite.server.front import Front
from tests.server.fake_engine import FakeEngine, embedded_tokenizer, make_front

PAGE_SIZE = 16


def fake_engine() -> FakeEngine:
    """One that may join a fleet."""
    engine = FakeEngine(embedded_tokenizer())
    assert engine.ready is not None
    engine.ready = msgspec.structs.replace(engine.ready, config={"page_size": PAGE_SIZE})
    engine.controls["stats"] = lambda: {}
    return engine


async def join(front: Front, number: int, engine: FakeEngine) -> None:
    """The engine is there from now on."""
    front.engine.expect(number, engine)
    assert await front.engine.join(number, engine)


async def make_fleet_front(num_engines: int = 2, **options: Any) -> tuple[Front, list[FakeEngine]]:
    """A front and its engines; each prompt goes to the next engine."""
    router = Router(RoutingOptions(routing_policy="round_robin"), 0)
    front = make_front(dp_size=num_engines, **options)
    front = dataclasses.replace(
        front, engine=FleetClient(router, max_waiting=100, num_engines=num_engines)
    )
    engines = [fake_engine() for _ in range(num_engines)]
    for number, engine in enumerate(engines):
        await join(front, number, engine)
    return front, engines


async def until(condition: Any) -> None:
    """Let the event loop turn until it is true."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")
