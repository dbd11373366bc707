import asyncio

import pytest
from starlette.requests import ClientDisconnect, Request

from sglite.errors import CapacityError, EngineDeadError
from sglite.request import SamplingParams
from sglite.server.http.waiting import collect_or_disconnect, finish_or_disconnect
from tests.server.fake_engine import make_front


def request(incoming):
    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, incoming.get)


def open_stream(front, num_tokens=4, **sampling):
    params = SamplingParams(max_new_tokens=num_tokens, ignore_eos=True, **sampling)
    return front.answer(front.open_prompt([5, 6, 7], params))


def test_all_answers_come_in_order():
    async def main():
        front = make_front()
        stream = open_stream(front, n=3)
        done = await collect_or_disconnect(request(asyncio.Queue(9)), stream)
        assert [generation.index for generation in done] == [0, 1, 2]
        assert done[0].token_ids == [5, 6, 7, 5]
        assert front.engine.aborted == []

    asyncio.run(main())


def test_caller_who_leaves_aborts_the_requests():
    async def main():
        front, incoming = make_front(), asyncio.Queue(9)
        front.engine.hold = True
        waiting = asyncio.ensure_future(
            collect_or_disconnect(request(incoming), open_stream(front))
        )
        await asyncio.sleep(0.01)
        incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        incoming.put_nowait({"type": "http.disconnect"})
        with pytest.raises(ClientDisconnect):
            await waiting
        assert front.engine.num_open_requests == 0
        assert len(front.engine.aborted) == 1

    asyncio.run(main())


def test_refusal_and_death_reach_the_caller():
    async def main():
        front = make_front()
        front.engine.capacity = 1
        with pytest.raises(CapacityError):
            await collect_or_disconnect(request(asyncio.Queue(9)), open_stream(front, n=2))
        assert front.engine.num_open_requests == 0
        front.engine.capacity, front.engine.hold = None, True
        waiting = asyncio.ensure_future(
            collect_or_disconnect(request(asyncio.Queue(9)), open_stream(front))
        )
        await asyncio.sleep(0.01)
        front.engine.die()
        with pytest.raises(EngineDeadError):
            await waiting

    asyncio.run(main())


def test_cancelling_the_wait_cancels_the_work():
    async def main():
        ended = []

        async def work():
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        waiting = asyncio.ensure_future(finish_or_disconnect(asyncio.Queue(9).get, work()))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert ended == [True]

    asyncio.run(main())
