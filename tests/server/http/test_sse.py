import asyncio

import pytest
from starlette.requests import ClientDisconnect

from sglite.errors import CapacityError, EngineDeadError
from sglite.server.http.sse import DONE, EventStreamResponse, event
from tests.server.asgi import RawCall, events


class Source:
    """Batches of events from a script; an exception in it is raised, ``None`` waits for ever."""

    def __init__(self, *script):
        self.script = list(script)
        self.num_taken = 0
        self.closed = 0

    async def stream(self):
        for item in self.script:
            await asyncio.sleep(0)
            if item is None:
                await asyncio.Event().wait()
            if isinstance(item, Exception):
                raise item
            self.num_taken += 1
            yield item

    def close(self):
        self.closed += 1


def call(source, **settings):
    response = EventStreamResponse(source.stream(), source.close, **settings)
    started = RawCall(response)
    started.push()
    return started


def test_events_are_one_line_each_and_one_write_per_batch():
    async def main():
        source = Source(event({"a": "é\n"}) + event({"b": 1}), event({"c": 2}), DONE)
        done = call(source)
        await done.task
        assert done.status == 200
        assert events(done.body.decode()) == [{"a": "é\n"}, {"b": 1}, {"c": 2}, "[DONE]"]
        assert len(done.sent) == 1 + 3 + 1
        headers = dict(done.sent[0]["headers"])
        assert headers[b"content-type"].startswith(b"text/event-stream")
        assert b"content-length" not in headers
        assert source.closed == 1

    asyncio.run(main())


def test_status_waits_for_the_first_batch_so_that_a_refusal_can_be_one():
    async def main():
        source = Source(CapacityError("full"))
        refused = call(source)
        with pytest.raises(CapacityError):
            await refused.task
        assert refused.sent == []
        assert source.closed == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "code"),
    [(EngineDeadError("gone"), "engine_dead"), (KeyError("bug"), "internal_error")],
)
def test_later_error_is_an_event_and_then_done(error, code):
    async def main():
        source = Source(event({"a": 1}), error)
        failed = call(source)
        await failed.task
        first, last, done = events(failed.body.decode())
        assert first == {"a": 1}
        assert last["error"]["code"] == code
        assert "bug" not in last["error"]["message"]
        assert done == "[DONE]"
        assert source.closed == 1

    asyncio.run(main())


def test_another_protocol_writes_its_errors_itself():
    async def main():
        failed = call(
            Source(b"{}\n", EngineDeadError("gone")), write_error=lambda error: b"sorry\n"
        )
        await failed.task
        assert failed.body == b"{}\nsorry\n"

    asyncio.run(main())


@pytest.mark.parametrize("script", [(None,), (event(1), None)])
def test_caller_who_leaves_ends_it_at_once(script):
    async def main():
        source = Source(*script)
        left = call(source)
        await asyncio.sleep(0.01)
        left.disconnect()
        with pytest.raises(ClientDisconnect):
            await left.task
        assert source.closed == 1

    asyncio.run(main())


def test_nothing_is_taken_while_the_connection_is_full_and_a_stall_ends_it():
    async def main():
        source = Source(*[event(number) for number in range(1000)])
        stalled = call(source, stall_timeout_s=0.05)
        stalled.blocks_after = 3
        with pytest.raises(ClientDisconnect):
            await stalled.task
        assert stalled.aborted
        assert source.num_taken == 3
        assert source.closed == 1

    asyncio.run(main())


@pytest.mark.parametrize("num_events", [0, 2])
def test_the_end_of_the_body_can_stall_as_well(num_events):
    """The last write returns while the connection is full; what follows it waits."""

    async def main():
        source = Source(*[event(number) for number in range(num_events)])
        stalled = call(source, stall_timeout_s=0.05)
        stalled.blocks_after = num_events + (num_events > 0)
        with pytest.raises(ClientDisconnect):
            await asyncio.wait_for(stalled.task, 20)
        assert stalled.aborted
        assert source.closed == 1

    asyncio.run(main())


def test_a_slow_source_is_no_stall():
    async def main():
        async def slow():
            for number in range(3):
                await asyncio.sleep(0.05)
                yield event(number)

        response = EventStreamResponse(slow(), lambda: None, stall_timeout_s=0.02)
        patient = RawCall(response)
        await patient.task
        assert events(patient.body.decode()) == [0, 1, 2]

    asyncio.run(main())


def test_cancelled_response_still_closes_its_source():
    async def main():
        source = Source(event(1), None)
        cancelled = call(source)
        await asyncio.sleep(0.01)
        cancelled.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled.task
        assert source.closed == 1

    asyncio.run(main())
