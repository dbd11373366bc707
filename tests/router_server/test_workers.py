"""Workers that come and go, and calls that wait for them; no sockets."""

import asyncio

import pytest

from sglite.config_parallel import RoutingOptions
from sglite.errors import CapacityError, NotReadyError, RequestError
from sglite.router.policies import RoutedRequest
from sglite.router_server import workers as workers_module
from sglite.router_server.workers import Workers


class Call:
    reason = None

    def cut(self, reason):
        self.reason = reason


def make(num_up=2, *, max_waiting=10, **options):
    options.setdefault("routing_policy", "round_robin")
    workers = Workers(RoutingOptions(**options), max_waiting=max_waiting, clock=lambda: 0.0)
    for number in range(num_up):
        workers.mark_up(workers.add(f"http://w{number}"))
    return workers


def request(name):
    return RoutedRequest(name, 10)


async def place(workers, name, **options):
    worker = await asyncio.wait_for(workers.place(request(name), **options), 1)
    return None if worker is None else worker.url


def test_a_new_worker_takes_calls_once_it_is_healthy():
    async def main():
        workers = make(0)
        worker = workers.add("http://a")
        with pytest.raises(NotReadyError, match="no worker is up"):
            await place(workers, "1")
        workers.mark_up(worker)
        assert await place(workers, "1") == "http://a"

    asyncio.run(main())


def test_adding_an_address_twice_changes_nothing():
    workers = make(1)
    assert workers.add("http://w0") is workers.find("http://w0") and len(workers.all) == 1


def test_workers_are_bounded(monkeypatch):
    monkeypatch.setattr(workers_module, "MAX_WORKERS", 2)
    with pytest.raises(RequestError, match="the most that may"):
        make(3)


def test_a_call_that_was_tried_goes_to_another_worker_and_back_to_nobody():
    async def main():
        workers = make()
        first, second = workers.all
        assert await place(workers, "1", without=[second]) == "http://w0"
        assert await place(workers, "2", without=[first]) == "http://w1"
        assert await place(workers, "3", without=[first, second]) is None
        assert len(workers.up) == 2
        assert {await place(workers, "4"), await place(workers, "5")} == {"http://w0", "http://w1"}

    asyncio.run(main())


def test_who_waits_goes_in_turn_when_there_is_room():
    async def main():
        workers = make(1, max_inflight_total=1)
        await place(workers, "1")
        second = asyncio.ensure_future(workers.place(request("2")))
        third = asyncio.ensure_future(workers.place(request("3")))
        await asyncio.sleep(0)
        assert workers.num_waiting == 2
        workers.release("1")
        assert (await second).url == "http://w0" and not third.done()
        workers.release("2")
        assert (await third).url == "http://w0"

    asyncio.run(main())


def test_who_gives_up_just_when_its_turn_comes_leaves_no_trace():
    async def main():
        workers = make(1, max_inflight_total=1)
        await place(workers, "1")
        waiting = asyncio.ensure_future(workers.place(request("2")))
        await asyncio.sleep(0)
        workers.release("1")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert workers.num_waiting == 0 and workers.loads()[0].num_requests == 0
        assert await place(workers, "3") == "http://w0"

    asyncio.run(main())


def test_the_line_is_bounded():
    async def main():
        workers = make(1, max_inflight_total=1, max_waiting=0)
        await place(workers, "1")
        with pytest.raises(CapacityError):
            await place(workers, "2")

    asyncio.run(main())


def test_who_waits_is_told_when_no_worker_is_left():
    async def main():
        workers = make(1, max_inflight_total=1)
        (worker,) = workers.all
        await place(workers, "1")
        waiting = asyncio.ensure_future(workers.place(request("2")))
        await asyncio.sleep(0)
        workers.mark_down(worker)
        with pytest.raises(NotReadyError):
            await waiting
        assert workers.num_waiting == 0

    asyncio.run(main())


def test_a_worker_that_is_down_keeps_its_calls_and_a_lost_one_does_not():
    async def main():
        workers = make(1)
        (worker,) = workers.all
        await place(workers, "1")
        call = Call()
        worker.open_calls.add(call)
        workers.mark_down(worker)
        assert workers.loads()[0].num_requests == 1 and call.reason is None
        reason = RuntimeError()
        workers.mark_lost(worker, reason)
        assert workers.loads()[0].num_requests == 0 and call.reason is reason
        workers.release("1")
        workers.mark_up(worker)
        assert await place(workers, "2") == "http://w0"

    asyncio.run(main())


def test_a_removed_worker_is_gone_when_its_last_call_has_ended():
    async def main():
        workers = make()
        first, second = workers.all
        assert await place(workers, "1") == first.url
        workers.remove(first)
        workers.remove(second)
        assert workers.all == [first] and workers.find(first.url) is None
        workers.mark_up(first)  # a look that was on its way
        assert workers.up == []
        workers.release("1")
        assert workers.all == []
        workers.mark_lost(first, RuntimeError())

    asyncio.run(main())


def test_an_address_that_leaves_can_be_added_anew():
    async def main():
        workers = make(1)
        (old,) = workers.all
        await place(workers, "1")
        workers.remove(old)
        new = workers.add(old.url)
        assert new is not old
        workers.mark_up(new)
        workers.mark_lost(old, RuntimeError())
        assert workers.all == [new] and await place(workers, "2") == new.url

    asyncio.run(main())


def test_each_choice_is_timed():
    async def main():
        ticks = iter(range(100))
        seen = []
        workers = Workers(
            RoutingOptions(),
            max_waiting=1,
            clock=lambda: float(next(ticks)),
            on_decision=seen.append,
        )
        workers.mark_up(workers.add("http://a"))
        await place(workers, "1")
        assert seen == [1.0]

    asyncio.run(main())
