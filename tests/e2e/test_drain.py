"""A server that is told to stop (T8): it finishes what it has accepted, and leaves nothing."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest

from sglite.bench.load.own_server import free_port
from sglite.server.listen import bind
from tests.e2e.async_calls import Call, comes_true, mixed_bodies, probing, wait_until_accepted
from tests.e2e.process_tree import ENGINE, tracebacks
from tests.server.live import LiveServer, live_server

EXIT_S = 10.0
AFTER_LIMIT_S = 5.0
SECOND_SIGNAL_S = 3.0
CLIENT_S = 5.0
START_S = 60.0
ENDLESS_TOKENS = 1900
NUM_STARTS = 25
AFTER_START = 1.25
"""Signals come up to this share of a start's time after its beginning."""
NEW_CALL = {"text": "a", "sampling_params": {"max_new_tokens": 1}}

Signal = Callable[[LiveServer], None]


def terminate(server: LiveServer) -> None:
    """SIGTERM, as a supervisor sends it: to the first process."""
    server.process.terminate()


def press_ctrl_c(server: LiveServer) -> None:
    """SIGINT, as a terminal sends it: to the whole group."""
    server.interrupt()


async def begin(server: LiveServer, num_calls: int, num_tokens: int) -> list[Call]:
    """Calls that the engine has, running or waiting; ``wait_for_end`` takes them."""
    bodies = mixed_bodies(num_calls, num_tokens=num_tokens)
    calls = [Call(server.url, path, body) for path, body in bodies]
    for call in calls:
        call.begin()
    await wait_until_accepted(server.url, num_calls)
    return calls


async def wait_for_end(calls: list[Call], timeout_s: float) -> None:
    """All of them end in time, however they do."""
    _, late = await asyncio.wait([call.task for call in calls], timeout=timeout_s)
    for task in late:
        task.cancel()
    assert not late, f"{len(late)} calls hang"


def check_end(server: LiveServer, exit_code: int = 0) -> None:
    """The server has ended in good order; the log of a clean stop has no stack in it."""
    assert server.wait(EXIT_S) == exit_code
    server.assert_nothing_left()
    assert "Traceback" not in server.errors, server.errors
    if server.url:
        bind("127.0.0.1", int(server.url.rpartition(":")[2])).close()


# -- the first signal ------------------------------------------------------------------------------


async def check_new_calls(server: LiveServer) -> None:
    """A server that drains is alive, not ready, and takes nothing new."""

    async def is_not_ready() -> bool:
        return (await Call(server.url, "/health/ready").run()).status == 503

    assert await comes_true(is_not_ready, 1.0)
    late = await Call(server.url, "/generate", NEW_CALL).run()
    assert late.status == 503
    assert late.last["error"]["code"] == "shutting_down"
    assert int(late.headers["retry-after"]) >= 1
    assert late.headers["connection"] == "close"
    assert (await Call(server.url, "/health").run()).status == 200


async def drain(server: LiveServer, send: Signal, num_calls: int, num_tokens: int) -> float:
    """Signal a server that is busy; every answer comes whole. The seconds that took."""
    calls = await begin(server, num_calls, num_tokens)
    signalled_s = time.monotonic()
    send(server)
    await check_new_calls(server)
    assert any(call.ending == "open" for call in calls), "too short to show anything"
    await wait_for_end(calls, START_S)
    ends = [(call.ending, call.num_tokens) for call in calls]
    assert ends == [("answered", num_tokens)] * num_calls
    return time.monotonic() - signalled_s


@pytest.mark.parametrize(
    ("send", "options"),
    [(terminate, ()), (press_ctrl_c, ("--api-workers", "2"))],
    ids=["SIGTERM", "Ctrl-C with API workers"],
)
def test_first_signal_loses_nothing_that_was_accepted(tmp_path, send, options):
    limits = ("--max-running-requests", "16", "--drain-timeout", "120")
    with live_server(*limits, *options, directory=tmp_path) as server:
        asyncio.run(drain(server, send, num_calls=32, num_tokens=80))
        check_end(server)


@pytest.mark.slow
@pytest.mark.parametrize("send", [terminate, press_ctrl_c])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_nothing_is_lost_of_a_hundred_running_and_a_hundred_waiting(tmp_path, send, num_workers):
    limits = ("--max-running-requests", "100", "--drain-timeout", "300")
    workers = ("--api-workers", str(num_workers))
    with live_server(*limits, *workers, directory=tmp_path) as server:
        seconds = asyncio.run(drain(server, send, num_calls=200, num_tokens=200))
        print(f"T8 {send.__name__}, {num_workers} HTTP processes: drained in {seconds:.1f} s")
        check_end(server)


# -- the end of patience ---------------------------------------------------------------------------


async def run_out_of_time(server: LiveServer, num_calls: int) -> tuple[list[str], float]:
    """Signal once and wait; how the calls ended, and when the last of them did."""
    calls = await begin(server, num_calls, ENDLESS_TOKENS)
    signalled_s = time.monotonic()
    terminate(server)
    await wait_for_end(calls, EXIT_S)
    return [call.ending for call in calls], time.monotonic() - signalled_s


@pytest.mark.parametrize("num_workers", ["1", "2"])
def test_calls_that_outlast_the_time_limit_are_told(tmp_path, num_workers):
    options = ("--max-running-requests", "8", "--drain-timeout", "1", "--api-workers", num_workers)
    with live_server(*options, directory=tmp_path) as server:
        endings, seconds = asyncio.run(run_out_of_time(server, num_calls=16))
        assert set(endings) == {"told", "refused"}
        check_end(server)
        assert seconds <= 1 + AFTER_LIMIT_S


async def lose_patience(server: LiveServer, send: Signal, num_calls: int) -> tuple[set[str], float]:
    """Signal twice; how the calls ended, and seconds from the second signal to the exit."""
    calls = await begin(server, num_calls, ENDLESS_TOKENS)
    send(server)
    await asyncio.sleep(0.3)
    assert server.process.poll() is None
    send(server)
    signalled_s = time.monotonic()
    await asyncio.to_thread(server.wait, EXIT_S)
    exit_s = time.monotonic() - signalled_s
    await wait_for_end(calls, CLIENT_S)
    return {call.ending for call in calls}, exit_s


@pytest.mark.parametrize(
    ("send", "num_workers"), [(terminate, "1"), (press_ctrl_c, "2")], ids=["SIGTERM", "Ctrl-C"]
)
def test_second_signal_ends_it_at_once(tmp_path, send, num_workers):
    options = ("--max-running-requests", "8", "--api-workers", num_workers)
    with live_server(*options, directory=tmp_path) as server:
        endings, exit_s = asyncio.run(lose_patience(server, send, num_calls=16))
        print(f"T8 second signal, {num_workers} HTTP processes: exit after {exit_s:.2f} s")
        assert endings == {"told", "refused"}
        assert exit_s <= SECOND_SIGNAL_S
        check_end(server)


@pytest.mark.slow
def test_callers_who_never_rest_do_not_hold_up_the_end(tmp_path):
    """Refusing takes time as well: those who ask again and again are not waited for."""

    async def pester(server: LiveServer) -> None:
        async def ask() -> None:
            while (await Call(server.url, "/generate", NEW_CALL).run()).ending != "cut":
                pass

        askers = [asyncio.ensure_future(ask()) for _ in range(32)]
        await asyncio.sleep(1.0)
        terminate(server)
        async with probing(server.url):
            await asyncio.wait_for(asyncio.gather(*askers), EXIT_S)

    with live_server("--drain-timeout", "60", directory=tmp_path) as server:
        asyncio.run(pester(server))
        check_end(server)


# -- before it serves ------------------------------------------------------------------------------


async def wait_until_loading(server: LiveServer) -> None:
    """Return when HTTP answers and the engine's process is there, which loads."""

    async def is_loading() -> bool:
        live = await Call(server.url, "/health/live").run()
        return live.status == 200 and bool(server.running(ENGINE))

    assert await comes_true(is_loading, START_S)
    health = await Call(server.url, "/health").run()
    assert health.status == 503
    assert int(health.headers["retry-after"]) >= 1


@pytest.mark.parametrize("num_workers", ["1", "2"])
def test_signal_while_the_model_loads_ends_it_in_good_order(tmp_path, num_workers):
    port = str(free_port())
    server = LiveServer("--port", port, "--api-workers", num_workers, directory=tmp_path)
    server.url = f"http://127.0.0.1:{port}"
    try:
        asyncio.run(wait_until_loading(server))
        terminate(server)
        check_end(server)
    finally:
        server.kill()


def signal_after(delay_s: float, send: Signal, directory, *options: str) -> tuple[int, float]:
    """Start, send a signal after ``delay_s``, and check what is left; exit code and seconds."""
    server = LiveServer(*options, directory=directory)
    try:
        time.sleep(delay_s)
        send(server)
        sent_s = time.monotonic()
        code = server.wait(EXIT_S)
        exit_s = time.monotonic() - sent_s
        server.assert_nothing_left()
        assert tracebacks(server.errors) == 0, server.errors
        # 130, or the signal itself, or what Python makes of Ctrl-C before it is at our code.
        was_ours = not server.errors.endswith("\nKeyboardInterrupt\n")
        assert not was_ours or code in (0, 130, -signal.SIGINT, -signal.SIGTERM), server.errors
    finally:
        server.kill()
    return code, exit_s


def time_to_start(directory, *options: str) -> float:
    """Seconds until a server is ready."""
    started_s = time.monotonic()
    with live_server(*options, directory=directory):
        return time.monotonic() - started_s


@pytest.mark.slow
@pytest.mark.parametrize("send", [press_ctrl_c, terminate])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_signal_at_any_moment_of_the_start_ends_it_and_leaves_nothing(tmp_path, send, num_workers):
    options = ("--api-workers", str(num_workers))
    start_s = time_to_start(tmp_path, *options)
    draws, slowest_s, codes = random.Random(8), 0.0, Counter()
    for number in range(NUM_STARTS):
        directory = tmp_path / str(number)
        directory.mkdir()
        delay_s = draws.uniform(0, AFTER_START * start_s)
        code, exit_s = signal_after(delay_s, send, directory, *options)
        codes[code] += 1
        slowest_s = max(slowest_s, exit_s)
    print(
        f"T8 {send.__name__} at {NUM_STARTS} moments of a start of {start_s:.1f} s, {num_workers} "
        f"HTTP processes: slowest exit {slowest_s:.2f} s, codes {dict(codes)}"
    )
