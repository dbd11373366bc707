"""Many more requests than a server can answer (T7): bounded queues, quick refusals, no harm after.

Callers arrive at their own times, whether or not others have been answered: an open loop.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from sglite.bench.load.figures import spread_ms
from tests.e2e.async_calls import Call, comes_true, get_json, probing
from tests.e2e.process_tree import resident_bytes
from tests.server.live import LiveServer, live_server

MAX_RUNNING = 8
MAX_WAITING = 16
MAX_WAITING_TOKENS = 2500
OPTIONS = (
    *("--max-running-requests", str(MAX_RUNNING)),
    *("--max-queued-requests", str(MAX_WAITING)),
    *("--max-queued-tokens", str(MAX_WAITING_TOKENS)),
    "--incremental-streaming-output",
    # Slow enough that ten times what it serves does not make the callers, on the same cores, what
    # is measured.
    *("--cpu-kernels", "torch"),
)
PROMPT_TOKENS = (16, 400)
ANSWER_TOKENS = 64
SAMPLE_PERIOD_S = 0.05
HANG_S = 120.0
"""No call is open any more so long after the last has come."""
RECOVERY_S = 5.0
MAX_GROWTH_BYTES = 128 << 20


@dataclass
class Observed:
    """What a run has shown. ``loads`` are the entries of /v1/loads, ``bytes`` the memory."""

    calls: list[Call] = field(default_factory=list)
    loads: list[dict[str, Any]] = field(default_factory=list)
    health: list[int | None] = field(default_factory=list)
    health_s: list[float] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def ended_as(self, ending: str) -> list[Call]:
        """The calls that ended so."""
        return [call for call in self.calls if call.ending == ending]

    @property
    def answers_per_s(self) -> float:
        """Answers that were whole, per second up to the end of the last one."""
        return len(self.ended_as("answered")) / self.seconds


def body(draws: random.Random) -> dict[str, Any]:
    """A prompt of its own, and an answer of a certain length."""
    num_tokens = draws.randint(*PROMPT_TOKENS)
    sampling = {"temperature": 0, "max_new_tokens": ANSWER_TOKENS, "ignore_eos": True}
    token_ids = [draws.randrange(300, 1000) for _ in range(num_tokens)]
    return {"input_ids": token_ids, "stream": True, "sampling_params": sampling}


async def measure_capacity(server: LiveServer, seconds: float) -> tuple[float, float]:
    """Answers per second with as many users as run at once; and the time to an only caller."""
    draws, ends_s = random.Random(1), time.monotonic() + seconds
    done: list[Call] = []

    async def user() -> None:
        while time.monotonic() < ends_s:
            done.append(await Call(server.url, "/generate", body(draws)).run())

    started_s = time.monotonic()
    await asyncio.gather(*(user() for _ in range(MAX_RUNNING)))
    rate = len(done) / (time.monotonic() - started_s)
    assert {call.ending for call in done} == {"answered"}
    return rate, (await Call(server.url, "/generate", body(draws)).run()).seconds


async def arrive(server: LiveServer, rate: float, seconds: float) -> Observed:
    """Callers arrive for ``seconds`` with ``rate`` of them per second; wait for all of them."""
    draws, observed = random.Random(2), Observed()
    looking = asyncio.ensure_future(look(server, observed))
    started_s = moment_s = time.monotonic()
    async with probing(server.url) as prober:
        while moment_s < started_s + seconds:
            await asyncio.sleep(max(0.0, moment_s - time.monotonic()))
            call = Call(server.url, "/generate", body(draws))
            call.begin()
            observed.calls.append(call)
            moment_s += draws.expovariate(rate)
        await asyncio.wait([call.task for call in observed.calls], timeout=HANG_S)
        observed.seconds = time.monotonic() - started_s
    assert not looking.done(), looking.exception()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    observed.health = [status for _, status in prober.samples]
    observed.health_s = prober.seconds
    return observed


async def look(server: LiveServer, observed: Observed) -> None:
    """Sample queue and memory until cancelled."""
    pids = [server.process.pid, *server.children()]
    while True:
        observed.loads.append((await get_json(server.url, "/v1/loads"))["loads"][0])
        observed.resident.append(resident_bytes(pids))
        await asyncio.sleep(SAMPLE_PERIOD_S)


def causes(observed: Observed) -> Counter[str]:
    """How many calls each limit refused."""
    texts = [call.last["message"] for call in observed.ended_as("refused")]
    return Counter(name for text in texts for name in re.findall(r"max_queued_\w+(?= is)", text))


def check_limits(observed: Observed) -> None:
    """At no moment did more wait than may, and the limits were what held them back."""
    assert max(load["num_waiting_reqs"] for load in observed.loads) <= MAX_WAITING
    assert max(load["num_waiting_tokens"] for load in observed.loads) <= MAX_WAITING_TOKENS
    assert max(load["num_running_reqs"] for load in observed.loads) <= MAX_RUNNING
    # Which of the two depends on the prompts that happen to wait; each refusal names its limit.
    assert sum(causes(observed).values()) == len(observed.ended_as("refused")) > 0


def check_calls(observed: Observed) -> None:
    """Every call was answered whole, or refused at once and told when to come again."""
    endings = Counter(call.ending for call in observed.calls)
    assert set(endings) == {"answered", "refused"}, endings
    assert {call.num_tokens for call in observed.ended_as("answered")} == {ANSWER_TOKENS}
    assert most_overtaken(observed.ended_as("answered")) <= MAX_WAITING
    for call in observed.ended_as("refused"):
        assert call.status == 429
        assert call.last["error"]["code"] == "overloaded"
        assert int(call.headers["retry-after"]) >= 1


def most_overtaken(answered: list[Call]) -> int:
    """How many later calls at most began their answers before a call: who waits must not starve."""
    by_arrival = sorted(answered, key=lambda call: call.started_s)
    return max(
        sum(later.first_s < call.first_s for later in by_arrival[place:])
        for place, call in enumerate(by_arrival)
    )


def check_server(observed: Observed) -> None:
    """It was healthy all the time and did not grow."""
    assert observed.health and set(observed.health) == {200}
    settled = observed.resident[len(observed.resident) // 4]
    assert max(observed.resident) - settled <= MAX_GROWTH_BYTES


def check_after(server: LiveServer) -> float:
    """Nothing waits, everything is served again; seconds of an only call."""

    async def is_idle() -> bool:
        load = (await get_json(server.url, "/v1/loads"))["loads"][0]
        return (load["num_running_reqs"], load["num_waiting_reqs"]) == (0, 0)

    async def call_alone() -> Call:
        assert await comes_true(is_idle, RECOVERY_S)
        return await Call(server.url, "/generate", body(random.Random(3))).run()

    call = asyncio.run(call_alone())
    assert (call.ending, call.num_tokens) == ("answered", ANSWER_TOKENS)
    server.interrupt()
    assert server.wait() == 0
    assert "Traceback" not in server.errors
    server.assert_nothing_left()
    return call.seconds


def check_all(observed: Observed) -> None:
    """Everything that must hold, however fast the machine is."""
    check_calls(observed)
    check_limits(observed)
    check_server(observed)


def report(observed: Observed, capacity: float, alone_s: float, after_s: float) -> str:
    """The figures of a run; they depend on the machine, so nothing is asserted about them."""
    answered, refused = observed.ended_as("answered"), observed.ended_as("refused")
    growth = observed.resident[-1] - observed.resident[len(observed.resident) // 4]
    lines = [
        f"T7 {len(observed.calls)} calls in {observed.seconds:.1f} s: {len(answered)} answered, "
        f"{len(refused)} refused; {observed.answers_per_s:.2f} answers/s of {capacity:.2f} at 1x",
        f"  refusals   {spread_ms(call.seconds for call in refused)}",
        f"  first text {spread_ms(call.first_s - call.started_s for call in answered)}",
        f"  answers    {spread_ms(call.seconds for call in answered)}",
        f"  /health    {spread_ms(observed.health_s)}",
        f"  refused by {dict(causes(observed))}",
        f"  overtaken  by {most_overtaken(answered)} later calls at most",
        f"  alone      {alone_s:.2f} s before, {after_s:.2f} s after",
        f"  most waiting {max(load['num_waiting_reqs'] for load in observed.loads)} requests, "
        f"{max(load['num_waiting_tokens'] for load in observed.loads)} tokens in "
        f"{len(observed.loads)} samples; memory {growth / 2**20:+.1f} MiB",
    ]
    return "\n".join(lines)


def test_short_overload_is_refused_and_does_no_harm(tmp_path):
    with live_server(*OPTIONS, directory=tmp_path) as server:
        observed = asyncio.run(arrive(server, rate=60.0, seconds=4.0))
        check_all(observed)
        check_after(server)


@pytest.mark.slow
def test_ten_times_the_capacity_for_a_minute(tmp_path):
    with live_server(*OPTIONS, directory=tmp_path) as server:
        capacity, alone_s = asyncio.run(measure_capacity(server, seconds=15.0))
        observed = asyncio.run(arrive(server, rate=10 * capacity, seconds=60.0))
        check_all(observed)
        print(report(observed, capacity, alone_s, check_after(server)))
