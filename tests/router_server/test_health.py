import asyncio

import pytest

from sglite.config import RouterConfig
from sglite.router_server.health import HealthWatch
from sglite.router_server.worker_client import SmallAnswer, WorkerLostError
from sglite.router_server.workers import Workers
from tests.router_server.test_workers import Call


class Client:
    """Answers looks with what ``says`` holds: a status, or an error."""

    def __init__(self, says):
        self.says = list(says)
        self.num_looks = 0

    async def ask(self, url, call, *, timeout_s):
        self.num_looks += 1
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        return SmallAnswer(said, [], b"")


def make(*says, **options):
    config = RouterConfig(**{"health_failures": 2, "health_interval_s": 4.0, **options})
    workers = Workers(config, max_waiting=1, clock=lambda: 0.0)
    worker = workers.add("http://a")
    watch = HealthWatch(workers, Client(says), config)
    return watch, worker


GONE = WorkerLostError("gone")


@pytest.mark.parametrize(
    ("says", "states"),
    [
        ([200, 503, 200, 503], ["up", "up", "up", "up"]),
        ([200, 503, 503, 200], ["up", "up", "down", "up"]),
        ([200, GONE, 503, 500], ["up", "up", "down", "down"]),
        ([GONE, GONE, 200], ["down", "down", "up"]),
    ],
)
def test_a_worker_is_up_until_several_looks_in_a_row_have_failed(says, states):
    async def main():
        watch, worker = make(*says)
        seen = []
        for _ in says:
            await watch.look(worker)
            seen.append(worker.state)
        assert seen == states

    asyncio.run(main())


@pytest.mark.parametrize(("says", "is_told"), [([503, 503], False), ([GONE, GONE], True)])
def test_open_calls_are_told_where_nobody_answers_not_where_it_is_busy(says, is_told):
    async def main():
        watch, worker = make(200, *says)
        call = Call()
        worker.open_calls.add(call)
        for _ in range(3):
            await watch.look(worker)
        assert (call.reason is GONE) is is_told

    asyncio.run(main())


def test_the_longer_it_is_down_the_rarer_the_looks():
    watch, worker = make()
    pauses = []
    for worker.num_failures in (0, 2, 6, 10, 100):
        pauses.append(watch.pause_s(worker))
    assert pauses == [4.0, 4.0, 8.0, 12.0, 32.0]
    worker.state = "up"
    assert watch.pause_s(worker) == 4.0


def test_looks_go_on_until_the_worker_leaves():
    async def main():
        watch, worker = make(*[200] * 100, health_interval_s=0.001)
        watch.watch(worker)
        watch.watch(worker)
        while watch._client.num_looks < 3:
            await asyncio.sleep(0.001)
        watch._workers.remove(worker)
        await asyncio.sleep(0.01)
        num_looks = watch._client.num_looks
        await asyncio.sleep(0.01)
        assert watch._client.num_looks == num_looks and worker.state == "leaving"
        await watch.stop()

    asyncio.run(main())
