"""A process of the server dies or stands still under load (T6): everybody is told, nothing is left.

The process for chat templates is the exception: it is replaced, and only the chat in it fails.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass

import pytest

from sglite.server.listen import bind
from tests.e2e.async_calls import (
    Call,
    Prober,
    comes_true,
    mixed_bodies,
    probing,
    wait_until_accepted,
)
from tests.e2e.process_tree import (
    API_WORKER,
    ENGINE,
    RENDERER,
    parent_of,
    shared_memory_files,
    wait_until_alone,
)
from tests.server.live import LiveServer, live_server

CLIENT_S = 5.0
"""Within which every client has been told, or cut off."""
HEALTH_S = 1.0
EXIT_S = 10.0
ORPHAN_S = 5.0
WATCHDOG_S = 3.0
WATCH_PERIOD_S = 1.0
"""How much later than its limit the watchdog may look."""
NUM_TOKENS = 1900
NUM_REPEATS = 20

MAIN = "sglite"


@dataclass(frozen=True)
class Fault:
    """A signal for the process that runs ``module``. The server knows after ``found_after_s``."""

    name: str
    module: str
    signal: signal.Signals
    options: tuple[str, ...] = ()
    found_after_s: float = 0.0

    def victim(self, server: LiveServer) -> int:
        """The process that is hit."""
        return server.process.pid if self.module == MAIN else server.running(self.module)[0]


FAULTS = (
    Fault("engine killed", ENGINE, signal.SIGKILL),
    Fault("engine aborts", ENGINE, signal.SIGABRT),
    Fault(
        "engine stands still",
        ENGINE,
        signal.SIGSTOP,
        ("--watchdog-timeout", f"{WATCHDOG_S:g}"),
        WATCHDOG_S + WATCH_PERIOD_S,
    ),
    Fault("main killed", MAIN, signal.SIGKILL, ("--api-workers", "2")),
    Fault("API worker killed", API_WORKER, signal.SIGKILL, ("--api-workers", "2")),
)
RARER_FAULTS = (
    Fault("main killed alone", MAIN, signal.SIGKILL),
    Fault("engine killed behind workers", ENGINE, signal.SIGKILL, ("--api-workers", "3")),
)


@dataclass(frozen=True)
class Aftermath:
    """Seconds from the fault to the last call's end, the last good health, the exit, the end."""

    clients_s: float
    health_s: float
    exit_s: float
    gone_s: float
    endings: tuple[str, ...]

    def __str__(self) -> str:
        told = {ending: self.endings.count(ending) for ending in sorted(set(self.endings))}
        return (
            f"clients {self.clients_s:.2f} s {told}, last healthy {self.health_s:.2f} s, "
            f"exit {self.exit_s:.2f} s, all gone {self.gone_s:.2f} s"
        )


async def strike(server: LiveServer, fault: Fault, num_calls: int) -> Aftermath:
    """Let ``num_calls`` run, send the signal, and watch what comes of everybody."""
    bodies = mixed_bodies(num_calls, num_tokens=NUM_TOKENS)
    calls = [Call(server.url, path, body) for path, body in bodies]
    tasks = [call.begin() for call in calls]
    await wait_until_accepted(server.url, num_calls)
    async with probing(server.url) as prober:
        assert await comes_true(lambda: _has(prober), 5.0)
        struck_s = time.monotonic()
        os.kill(fault.victim(server), fault.signal)
        gone = asyncio.ensure_future(asyncio.to_thread(_wait_for_end, server, struck_s, fault))
        await asyncio.wait(tasks, timeout=fault.found_after_s + CLIENT_S + 1.0)
        for task in tasks:
            task.cancel()
        exit_s, gone_s = await gone
    await asyncio.gather(*tasks, return_exceptions=True)
    healthy_s = [moment_s for moment_s, status in prober.samples if status not in (503, None)]
    return Aftermath(
        clients_s=max(call.ended_s or float("inf") for call in calls) - struck_s,
        health_s=max(healthy_s) - struck_s,
        exit_s=exit_s,
        gone_s=gone_s,
        endings=tuple(call.ending for call in calls),
    )


async def _has(prober: Prober) -> bool:
    return (200 in [status for _, status in prober.samples]) and len(prober.samples) > 1


def _wait_for_end(server: LiveServer, struck_s: float, fault: Fault) -> tuple[float, float]:
    """Seconds from the fault to the end of the first process, and of all; in a thread."""
    server.wait(fault.found_after_s + EXIT_S)
    exit_s = time.monotonic() - struck_s
    wait_until_alone(server, ORPHAN_S)
    return exit_s, time.monotonic() - struck_s


def check_fault(fault: Fault, directory, num_calls: int) -> Aftermath:
    """One server, one fault, and everything that must hold afterwards."""
    before = shared_memory_files()
    with live_server(*fault.options, directory=directory) as server:
        aftermath = asyncio.run(strike(server, fault, num_calls))
        print(f"T6 {fault.name}, {num_calls} calls: {aftermath}")
        assert set(aftermath.endings) <= {"told", "cut", "refused"}, aftermath
        assert aftermath.clients_s <= fault.found_after_s + CLIENT_S, aftermath
        assert aftermath.health_s <= fault.found_after_s + HEALTH_S, aftermath
        assert server.process.returncode != 0
        server.assert_nothing_left()
        assert shared_memory_files() <= before
        bind("127.0.0.1", int(server.url.rpartition(":")[2])).close()
        check_log(fault, server.errors)
    return aftermath


def check_log(fault: Fault, log: str) -> None:
    """What whoever looks for the cause finds."""
    if fault.module == ENGINE:
        assert "engine_failed" in log
    if fault.module == API_WORKER:
        assert "api_worker_failed" in log
    if fault.signal == signal.SIGSTOP:
        assert "engine_hangs" in log
    if fault.signal in (signal.SIGSTOP, signal.SIGABRT):
        assert "(most recent call first)" in log  # the stacks


def everybody_is_told(fault: Fault, aftermath: Aftermath) -> bool:
    """True where nobody was cut off: the process that held the connections was still there."""
    return fault.module != ENGINE or "cut" not in aftermath.endings


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_under_load_is_told_and_ends_the_server(tmp_path, fault):
    aftermath = check_fault(fault, tmp_path, num_calls=16)
    assert everybody_is_told(fault, aftermath), aftermath


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS + RARER_FAULTS, ids=lambda fault: fault.name)
def test_fault_is_told_each_of_many_times(tmp_path, fault):
    for number in range(NUM_REPEATS):
        directory = tmp_path / str(number)
        directory.mkdir()
        aftermath = check_fault(fault, directory, num_calls=64)
        assert everybody_is_told(fault, aftermath), aftermath


# -- the process that renders chats ----------------------------------------------------------------


def renderer_of(server: LiveServer) -> int:
    """The process that renders for the first HTTP process."""
    parent = server.process.pid
    (pid,) = [pid for pid in server.running(RENDERER) if parent_of(pid) == parent]
    return pid


def hit_renderer(server: LiveServer, number: signal.Signals) -> None:
    """Send a signal; after one that kills, the process is really gone."""
    pid = renderer_of(server)
    os.kill(pid, number)
    while number == signal.SIGKILL and pid in server.children():
        time.sleep(0.01)


async def lose_renderers(server: LiveServer, num_calls: int, num_times: int) -> None:
    """While calls run, end the process again and again, in each way; nobody else notices."""
    (chat,) = [body for body in mixed_bodies(3, num_tokens=5) if "messages" in body[1]]
    bodies = mixed_bodies(num_calls, num_tokens=400)
    calls = [Call(server.url, path, body) for path, body in bodies]
    tasks = [call.begin() for call in calls]
    await wait_until_accepted(server.url, num_calls)
    for _ in range(num_times):
        hit_renderer(server, signal.SIGKILL)
        after_kill = await asyncio.wait_for(Call(server.url, *chat).run(), CLIENT_S)
        assert (after_kill.ending, after_kill.num_tokens) == ("answered", 5)
        hit_renderer(server, signal.SIGSTOP)
        in_it = await asyncio.wait_for(Call(server.url, *chat).run(), CLIENT_S)
        assert (in_it.ending, in_it.status) == ("refused", 400)
        next_one = await asyncio.wait_for(Call(server.url, *chat).run(), CLIENT_S)
        assert (next_one.ending, next_one.num_tokens) == ("answered", 5)
    await asyncio.gather(*tasks)
    assert [(call.ending, call.num_tokens) for call in calls] == [("answered", 400)] * num_calls


def check_renderers(directory, *, num_calls: int, num_times: int) -> None:
    with live_server(directory=directory) as server:
        asyncio.run(lose_renderers(server, num_calls, num_times))
        server.interrupt()
        assert server.wait(EXIT_S) == 0
        assert "Traceback" not in server.errors
        server.assert_nothing_left()


def test_end_of_the_process_for_chats_hurts_at_most_the_chat_in_it(tmp_path):
    check_renderers(tmp_path, num_calls=16, num_times=1)


@pytest.mark.slow
def test_end_of_the_process_for_chats_never_hurts_another_call(tmp_path):
    check_renderers(tmp_path, num_calls=64, num_times=NUM_REPEATS)
