"""What the host does in a step, and how much of it the device does not hide."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from sglite.bench.gpu_suite.driving import runner_for
from sglite.bench.gpu_suite.parts.decode_steps import StepsAlone
from sglite.bench.gpu_suite.profiling import profiled
from sglite.bench.gpu_suite.suite import Suite

CALLS = {
    "plan": ("scheduler", "plan_step"),
    "launch": ("executor", "launch"),
    "sample": ("executor", "sample"),
    "wait for the device": ("executor", "collect"),
    "commit": ("scheduler", "commit"),
}


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
    """Median microseconds of each call of a step, at several sizes of a batch."""
    sizes = suite.sizes
    runner = runner_for(suite, sizes.model)
    engine: Any = runner.engine
    for batch in sorted({sizes.batches[0], sizes.traced_batch, sizes.batches[-1]}):
        steps = StepsAlone(runner, batch, suite)
        profile = profiled(partial(steps.go, sizes.traced_steps), suite.device)
        scheduler, executor = engine.scheduler, engine.executor
        seconds: dict[str, list[float]] = {name: [] for name in CALLS}
        for owner in ("scheduler", "executor"):
            methods = {
                method: seconds[name] for name, (whose, method) in CALLS.items() if whose == owner
            }
            setattr(engine, owner, Timed(getattr(engine, owner), methods))
        start_s = time.perf_counter()
        steps.go(2 * sizes.traced_steps)
        step_s = (time.perf_counter() - start_s) / (2 * sizes.traced_steps)
        engine.scheduler, engine.executor = scheduler, executor
        steps.end()
        note(suite, batch, seconds, step_s, profile.busy_s / sizes.traced_steps)


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
