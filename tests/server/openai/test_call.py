"""Callers that leave, and calls that are aborted; tests/e2e has the whole calls of real clients."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sglite.server.app import build_app
from tests.server.asgi import RawCall
from tests.server.fake_engine import make_front
from tests.server.openai_calls import CHAT, COMPLETIONS, PROTOCOLS, USER

WAIT_S = 20.0
ENDLESS = {"max_tokens": 500, "ignore_eos": True}


def body_of(path: str, **fields: Any) -> bytes:
    prompt = {"prompt": "hello"} if path == COMPLETIONS else {"messages": USER}
    return json.dumps({**prompt, **ENDLESS, **fields}).encode()


async def started(front: Any, num_requests: int) -> None:
    async def wait() -> None:
        while len(front.engine.requests) < num_requests:
            await asyncio.sleep(0)

    await asyncio.wait_for(wait(), WAIT_S)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
def test_a_caller_that_leaves_aborts_all_its_requests(path, stream):
    async def run() -> None:
        front = make_front()
        front.engine.hold = True
        call = RawCall(build_app(front, PROTOCOLS), path)
        call.push(body_of(path, stream=stream, n=3))
        await started(front, 3)
        assert len(front.open_calls) == 1
        call.disconnect()
        await asyncio.wait_for(call.task, WAIT_S)
        assert sorted(front.engine.aborted) == sorted(
            request.request_id for request in front.engine.requests
        )
        assert front.engine.num_open_requests == 0
        assert len(front.open_calls) == 0

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_the_id_of_a_call_stands_for_its_requests_while_it_is_open(stream):
    async def run() -> None:
        front = make_front()
        front.engine.hold = True
        call = RawCall(build_app(front, PROTOCOLS), COMPLETIONS)
        call.push(body_of(COMPLETIONS, stream=stream, rid="mine", n=2))
        await started(front, 2)
        front.engine.abort(front.open_calls.engine_ids("mine"))
        await asyncio.wait_for(call.task, WAIT_S)
        assert call.status == 200
        assert call.body.count(b'"finish_reason":"abort"') == 2
        assert len(front.open_calls) == 0

    asyncio.run(run())


def test_a_call_that_fails_before_it_runs_leaves_no_name():
    async def run() -> None:
        front = make_front()
        front.engine.is_alive = False
        call = RawCall(build_app(front, PROTOCOLS), COMPLETIONS)
        call.push(body_of(COMPLETIONS))
        await asyncio.wait_for(call.task, WAIT_S)
        assert call.status == 503
        assert len(front.open_calls) == 0

    asyncio.run(run())
