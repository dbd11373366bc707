"""What the host does in a step, and how much of it the device does not hide.

First with a device that computes nothing (``bench.host``): what this machine's cores take, and what
overlap hides of it. Then the engine as it is.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from sglite.bench.gpu_suite.driving import Runner, runner_for
from sglite.bench.gpu_suite.parts.decode_steps import StepsAlone
from sglite.bench.gpu_suite.profiling import profiled
from sglite.bench.gpu_suite.suite import Suite
from sglite.bench.host import DEVICE_STEP_S, fill, make_engine, measure_gaps, measure_host
from sglite.device.paced import PacedDevice

CALLS = {
    "plan": ("scheduler", "plan_step"),
    "launch": ("executor", "launch"),
    "sample": ("executor", "sample"),
    "wait for the device": ("executor", "collect"),
    "commit": ("scheduler", "commit"),
}
PACED_STEPS = 10
"""For each step of a trace, so many over a device that computes nothing."""


class Timed:
    """Stands for an object of which some methods are timed."""

    def __init__(self, inner: Any, methods: dict[str, list[float]]) -> None:
        self._inner = inner
        for name, seconds in methods.items():
            setattr(self, name, _timed(getattr(inner, name), seconds))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _timed(method: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        start_s = time.perf_counter()
        result = method(*arguments, **named)
        seconds.append(time.perf_counter() - start_s)
        return result

    return call


def run(suite: Suite) -> None:
    """Several sizes of a batch, each way."""
    sizes = suite.sizes
    for batch in sorted({sizes.batches[0], sizes.batches[-1]}):
        measure_paced(suite, batch)
    runner = runner_for(suite, sizes.model)
    for batch in sorted({sizes.batches[0], sizes.traced_batch, sizes.batches[-1]}):
        measure_calls(suite, runner, batch)


def measure_paced(suite: Suite, batch: int) -> None:
    """The host's share of a step by itself, and what a device that takes 4 ms waits for it."""
    num_steps = PACED_STEPS * suite.sizes.traced_steps
    engine = make_engine(PacedDevice(0.0), batch=batch)
    fill(engine, batch=batch)
    times = measure_host(engine, num_steps=num_steps)
    engine.close()
    for name in ("plan", "stage", "commit", "total"):
        microseconds = statistics.median(getattr(times, name)) * 1e6
        suite.figure(f"host alone, {name}, batch {batch}", microseconds, "us")
    device = PacedDevice(DEVICE_STEP_S)
    engine = make_engine(device, batch=batch)
    fill(engine, batch=batch)
    idle_s = statistics.fmean(measure_gaps(engine, device, num_steps=num_steps))
    engine.close()
    name = f"idle between steps of {DEVICE_STEP_S * 1e3:.0f} ms, mean, batch {batch}"
    suite.figure(name, idle_s * 1e6, "us")


def measure_calls(suite: Suite, runner: Runner, batch: int) -> None:
    """Median microseconds of each call of a step; profiled afterwards, which slows the host."""
    engine: Any = runner.engine
    steps, num_traced = StepsAlone(runner, batch, suite), suite.sizes.traced_steps
    scheduler, executor = engine.scheduler, engine.executor
    seconds: dict[str, list[float]] = {name: [] for name in CALLS}
    for owner in ("scheduler", "executor"):
        methods = {
            method: seconds[name] for name, (whose, method) in CALLS.items() if whose == owner
        }
        setattr(engine, owner, Timed(getattr(engine, owner), methods))
    start_s = time.perf_counter()
    steps.go(2 * num_traced)
    step_s = (time.perf_counter() - start_s) / (2 * num_traced)
    engine.scheduler, engine.executor = scheduler, executor
    profile = profiled(partial(steps.go, num_traced), suite.device)
    steps.end()
    note(suite, batch, seconds, step_s, profile.busy_s / num_traced)


def note(
    suite: Suite, batch: int, seconds: dict[str, list[float]], step_s: float, busy_s: float
) -> None:
    """The calls, the step, and what the device was idle in it."""
    for name, each in seconds.items():
        with suppress(statistics.StatisticsError):  # a call that this engine does not make
            suite.figure(f"{name}, batch {batch}", statistics.median(each) * 1e6, "us")
    suite.figure(f"step, batch {batch}", step_s * 1e6, "us", busy_s * 1e6)
    if suite.is_cuda:
        suite.figure(f"idle device, batch {batch}", max(0.0, step_s - busy_s) * 1e6, "us")
