"""How long work takes on the device: by a captured graph and events on a GPU, else by the clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch

Work = Callable[[], object]
NUM_SAMPLES = 5


def seconds_each(
    works: Sequence[Work], device: torch.device, *, timed_s: float, is_captured: bool = True
) -> float:
    """Seconds of one of ``works``, which are done in turn: the median of five samples.

    Several works over different memory keep a GPU's cache from holding what a real step would have
    to read. On a GPU all of them are replayed as one graph, so that no launch is timed; what cannot
    be captured is timed with its launches.
    """
    for work in works:
        work()
    time_round = _round_on_gpu if device.type == "cuda" else _round_on_cpu
    do_all: Work = lambda: [work() for work in works]  # noqa: E731
    if device.type == "cuda" and is_captured:
        do_all = _captured(do_all, device)
    once_s = time_round(do_all, 1)
    count = max(1, round(timed_s / max(once_s, 1e-7)))
    samples = [time_round(do_all, count) for _ in range(NUM_SAMPLES)]
    return statistics.median(samples) / count / len(works)


def _captured(work: Work, device: torch.device) -> Work:
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    graph.replay()
    return graph.replay


def _round_on_gpu(work: Work, count: int) -> float:
    begin, end = (
        torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        for _ in range(2)
    )
    torch.cuda.synchronize()
    begin.record()
    for _ in range(count):
        work()
    end.record()
    end.synchronize()
    milliseconds: float = begin.elapsed_time(end)
    return milliseconds / 1e3


def _round_on_cpu(work: Work, count: int) -> float:
    start_s = time.perf_counter()
    for _ in range(count):
        work()
    return time.perf_counter() - start_s
