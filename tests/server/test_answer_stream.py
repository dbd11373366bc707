import asyncio

import pytest

from sglite.errors import CapacityError, EngineDeadError, NotReadyError, RequestError
from sglite.request import OutputBatch, SamplingParams
from tests.server.fake_engine import make_front

PROMPT = [5, 6, 7]


def stream(front, num_tokens=6, **params):
    sampling = SamplingParams(max_new_tokens=num_tokens, ignore_eos=True, **params)
    return front.answer(front.open_prompt(PROMPT, sampling))


def run(test):
    async def main():
        await test(make_front())

    asyncio.run(main())


def test_chunks_come_in_order_and_end():
    async def check(front):
        token_ids, last = [], None
        async for chunks in stream(front):
            for chunk in chunks:
                token_ids += chunk.token_ids
                last = chunk.finished or last
        assert token_ids == [5, 6, 7, 5, 6, 7] == last.token_ids

    run(check)


def test_what_nobody_takes_in_time_comes_in_one_list():
    async def check(front):
        slow = stream(front)
        await asyncio.sleep(0.05)
        lists = [chunks async for chunks in slow]
        assert len(lists) == 1
        assert [token for chunk in lists[0] for token in chunk.token_ids] == [5, 6, 7, 5, 6, 7]

    run(check)


def test_close_aborts_what_is_open_once_it_has_not_ended():
    async def check(front):
        front.engine.hold = True
        opened = stream(front, n=2)
        opened.close()
        assert len(front.engine.aborted) == 2
        opened.close()
        assert len(front.engine.aborted) == 2
        done = await opened.collect()
        assert [each.finish_reason.value for each in done] == ["abort", "abort"]

    run(check)


def test_one_refusal_ends_the_whole_call():
    async def check(front):
        front.engine.capacity, front.engine.hold = 1, True
        opened = stream(front, n=3)
        with pytest.raises(CapacityError):
            await opened.collect()
        assert front.engine.num_open_requests == 0

    run(check)


def test_what_the_engine_finds_invalid_ends_the_whole_call_before_its_first_chunk():
    async def check(front):
        front.engine.hold = True
        opened = stream(front, n=3)
        names = [request.request_id for request in front.engine.requests]
        opened.deliver(OutputBatch(tokens=[(names[1], 5)]))
        opened.refuse(names[0], RequestError("regex is bad", param="regex"))
        with pytest.raises(RequestError, match="regex is bad"):
            async for _ in opened:
                raise AssertionError("a part of it was told")
        assert set(names[1:]) <= set(front.engine.aborted)

    run(check)


def test_death_before_and_during_the_call():
    async def check(front):
        front.engine.hold = True
        opened = stream(front)
        front.engine.die()
        with pytest.raises(EngineDeadError):
            await opened.collect()
        with pytest.raises(EngineDeadError):
            stream(front)

    run(check)


def test_output_that_still_comes_after_a_failure_harms_nobody():
    async def check(front):
        opened = stream(front, 50)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        opened.fail(NotReadyError("stopped"))
        with pytest.raises(NotReadyError):
            async for _ in opened:
                pass
        opened.fail(NotReadyError("again"))
        assert front.engine.num_open_requests == 0

    run(check)


def test_observer_hears_of_every_chunk():
    class Observer:
        num_tokens = 0

        def delivered(self, chunks):
            self.num_tokens += sum(len(chunk.token_ids) for chunk in chunks)

    async def check(front):
        from sglite.server.answer_stream import AnswerStream

        observer = Observer()
        sampling = SamplingParams(max_new_tokens=4, ignore_eos=True)
        await AnswerStream(front.engine, front.open_prompt(PROMPT, sampling), observer).collect()
        assert observer.num_tokens == 4

    run(check)
