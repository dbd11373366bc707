import asyncio

import pytest

from sglite.errors import NotReadyError
from sglite.request import SamplingParams
from sglite.server.lifecycle import Lifecycle, SwitchedApp
from tests.server.asgi import client
from tests.server.fake_engine import make_front
from tests.server.fake_fleet import make_fleet_front


class State:
    def __init__(self):
        self.tasks = set()


class Server:
    """What a lifecycle uses of uvicorn."""

    def __init__(self):
        self.should_exit = False
        self.server_state = State()

    def add_call(self, work):
        task = asyncio.ensure_future(work)
        self.server_state.tasks.add(task)
        task.add_done_callback(self.server_state.tasks.discard)
        return task


def open_call(front):
    sampling = SamplingParams(max_new_tokens=4, ignore_eos=True)
    return front.answer(front.open_prompt([5, 6], sampling))


def run(test, **options):
    async def main():
        front, server = make_front(**options), Server()
        life = Lifecycle(server, front.config)
        await asyncio.wait_for(test(front, server, life), 20)

    asyncio.run(main())


def test_first_signal_lets_running_calls_finish():
    async def check(front, server, life):
        front.engine.hold = True
        running = server.add_call(open_call(front).collect())
        ended = asyncio.ensure_future(life.serve(front))
        await asyncio.sleep(0)
        life.on_signal()
        await asyncio.sleep(0.05)
        assert front.is_draining and not server.should_exit
        front.engine.release()
        assert await ended == 0
        assert running.result()[0].finish_reason.value == "length"

    run(check)


def test_callers_that_try_again_and_again_do_not_delay_the_end():
    async def check(front, server, life):
        front.engine.hold = True
        running = server.add_call(open_call(front).collect())

        def refused(_=None):
            server.add_call(asyncio.sleep(0.02)).add_done_callback(refused)

        ended = asyncio.ensure_future(life.serve(front))
        await asyncio.sleep(0)
        life.on_signal()
        await asyncio.sleep(0.05)
        refused()
        front.engine.release()
        assert await asyncio.wait_for(ended, 10) == 0
        assert running.result()[0].finish_reason.value == "length"
        assert server.server_state.tasks, "the last one that was refused is still being told"

    run(check)


def test_late_calls_are_told_when_the_time_is_up():
    async def check(front, server, life):
        front.engine.hold = True
        running = server.add_call(open_call(front).collect())
        ended = asyncio.ensure_future(life.serve(front))
        await asyncio.sleep(0)
        life.on_signal()
        assert await ended == 0
        with pytest.raises(NotReadyError, match="before the answer was done"):
            await running
        assert front.engine.num_open_requests == 0

    run(check, drain_timeout_s=0.05)


def test_second_signal_ends_it_at_once():
    async def check(front, server, life):
        front.engine.hold = True
        running = server.add_call(open_call(front).collect())
        ended = asyncio.ensure_future(life.serve(front))
        await asyncio.sleep(0)
        life.on_signal()
        life.on_signal()
        assert await ended == 0
        with pytest.raises(NotReadyError):
            await running

    run(check, drain_timeout_s=60.0)


def test_dead_engine_is_fatal_and_loud(caplog):
    async def check(front, server, life):
        ended = asyncio.ensure_future(life.serve(front))
        await asyncio.sleep(0)
        front.engine.die()
        assert await ended == 1
        assert server.should_exit and front.is_draining

    run(check)


def test_signal_while_starting_cancels_the_start():
    async def check(front, server, life):
        cancelled = []

        async def load():
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(True)

        starting = asyncio.ensure_future(life.start(load()))
        await asyncio.sleep(0)
        life.on_signal()
        assert await starting is None
        assert cancelled == [True]
        assert server.should_exit

    run(check)


def test_end_of_http_that_nobody_wanted_is_fatal():
    async def check(front, server, life):
        async def crash():
            raise OSError("bad socket")

        ended = asyncio.ensure_future(life.serve(front))
        http = asyncio.ensure_future(crash())
        http.add_done_callback(life.on_http_end)
        assert await ended == 1

    run(check)


def test_start_hands_on_result_and_fault():
    async def check(front, server, life):
        async def work():
            return 7

        async def fail():
            raise ValueError("bad")

        assert await life.start(work()) == 7
        with pytest.raises(ValueError, match="bad"):
            await life.start(fail())

    run(check)


def test_signal_between_start_and_serving_is_not_lost():
    async def check(front, server, life):
        life.on_signal()
        assert await life.serve(front) == 0

    run(check)


def test_before_the_application_is_there_calls_are_told_so():
    async def main():
        app = SwitchedApp()
        async with client(app) as http:
            answer = await http.get("/v1/models")
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["error"]["code"] == "starting"
            assert (await http.get("/health")).status_code == 503
            assert (await http.get("/health/live")).status_code == 200

    asyncio.run(main())


def test_after_the_switch_the_application_answers():
    async def main():
        async def application(scope, receive, send):
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        app = SwitchedApp()
        app.app = application
        async with client(app) as http:
            assert (await http.get("/")).status_code == 204

    asyncio.run(main())


def test_engines_of_a_fleet_may_all_end_and_the_server_goes_on():
    async def main():
        front, engines = await make_fleet_front(2)
        server = Server()
        life = Lifecycle(server, front.config)
        ended = asyncio.ensure_future(life.serve(front))
        for engine in engines:
            engine.die()
        await asyncio.sleep(0.25)
        assert not front.engine.is_alive and not ended.done() and not server.should_exit
        life.stop()
        assert await ended == 0

    asyncio.run(main())
