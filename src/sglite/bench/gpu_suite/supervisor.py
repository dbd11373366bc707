"""Watches the processes in which the parts run: what fails or hangs costs that part alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sglite.bench.gpu_suite.results import RUNNING, PartResult, try_read_part, write_part

START_S = 60.0
"""Patience with a process that has not begun its first part: it imports torch and finds the GPU."""

POLL_S = 0.1
FAREWELL_S = 5.0
TAIL_CHARACTERS = 4000

Worker = list[str]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run: parts with their seconds, and when the whole has to end (``time.time``).

    ``worker`` is the command of the process that runs parts.
    """

    out: Path
    parts: Mapping[str, float]
    ends_at_s: float
    is_dry_run: bool
    worker: tuple[str, ...] = (sys.executable, "-m", "sglite.bench.gpu_suite.worker")


def supervise(order: Order, on_change: Callable[[list[PartResult]], None]) -> list[PartResult]:
    """Run all parts; ``on_change`` hears of the results after each."""
    results: list[PartResult] = []
    left = dict(order.parts)
    while left and time.time() < order.ends_at_s:
        for result in _run_worker(order, left, len(results)):
            del left[result.name]
            results.append(result)
            on_change(results)
    for name in left:
        results.append(PartResult(name, "left out: the time was up"))
        write_part(order.out, results[-1])
    on_change(results)
    return results


def _run_worker(order: Order, left: Mapping[str, float], number: int) -> list[PartResult]:
    """Results of the parts that one process got through, the one that ended it among them."""
    log = order.out / f"worker-{number}.log"
    words = {
        "out": str(order.out),
        "is_dry_run": order.is_dry_run,
        "ends_at_s": order.ends_at_s,
        "parts": left,
    }
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [*order.worker, json.dumps(words)], stderr=errors, start_new_session=True
        )
        try:
            results = _watch_all(process, order, left)
        finally:
            _kill(process)
    if results[-1].error:
        results[-1].error += f"\n{_tail(log)}"
        write_part(order.out, results[-1])
    return results


def _watch_all(
    process: subprocess.Popen[bytes], order: Order, left: Mapping[str, float]
) -> list[PartResult]:
    """Results up to the one that makes the process useless; without such a one, its end, too."""
    results = []
    patience_s = START_S
    for name, budget_s in left.items():
        results.append(_watch(process, order, name, patience_s + budget_s))
        if results[-1].error:
            return results
        patience_s = 0.0
    with suppress(subprocess.TimeoutExpired):  # it is ended anyway, and all is written
        process.wait(timeout=FAREWELL_S)
    return results


def _watch(
    process: subprocess.Popen[bytes], order: Order, name: str, patience_s: float
) -> PartResult:
    """Wait for one part. Its ``error`` is set where the process is of no more use."""
    ends_at_s = min(time.time() + patience_s, order.ends_at_s)
    while True:
        has_ended = process.poll() is not None  # asked first: it may have written its last words
        result = try_read_part(order.out, name) or PartResult(name)
        if result.status != RUNNING:
            return result
        if has_ended:
            return _failed(result, "failed", f"the process ended with {process.returncode}")
        if time.time() > ends_at_s:
            return _failed(result, "timed out", "stopped: it took too long")
        time.sleep(POLL_S)


def _failed(result: PartResult, status: str, error: str) -> PartResult:
    result.status, result.error = status, error
    return result


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(log: Path) -> str:
    """The end of what the process wrote."""
    return log.read_text(encoding="utf-8", errors="replace")[-TAIL_CHARACTERS:].strip()
