"""What runs on the device during a piece of work, by torch's profiler.

On a CPU the outermost operators stand in for kernels, so that everything here can be tried there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

KINDS = {
    "attention": r"attend|merge_kernel|attention|flash|fmha|prefill|decode",
    "products": r"gemm|gemv|cutlass|nvjet|xmma|cublas|matmul|linear|splitK|addmm|::mm",
    "norms": r"norm",
    "rotation and KV store": r"rotary|store|rope",
    "activation": r"gated|silu|gelu",
    "draw": r"race|winner|draw|threshold|sample|argmax|surviv",
    "copies": r"memcpy|copy",
}
"""Kinds of kernels by their names; the first that fits."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """All runs of one kernel."""

    name: str
    count: int
    seconds: float

    @property
    def kind(self) -> str:
        """One of ``KINDS``, or ``other``."""
        matches = (kind for kind, words in KINDS.items() if re.search(words, self.name, re.I))
        return next(matches, "other")


@dataclass(frozen=True, slots=True)
class Profile:
    """Kernels by falling time; how long any of them ran, and from the first to the last."""

    kernels: list[Kernel]
    busy_s: float
    span_s: float

    def seconds_by_kind(self) -> dict[str, float]:
        """Seconds of each kind of kernels, the longest first."""
        seconds: dict[str, float] = defaultdict(float)
        for kernel in self.kernels:
            seconds[kernel.kind] += kernel.seconds
        return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def profiled(
    work: Callable[[], object], device: torch.device, *, trace: Path | None = None
) -> Profile:
    """Do ``work`` under the profiler; ``trace`` is where to write it for a browser."""
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
        torch.cuda.synchronize(device)
    with profile(activities=activities) as profiler:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    if trace is not None:
        profiler.export_chrome_trace(str(trace))
    return summarise(_kernel_spans(profiler.events() or (), device))


def _kernel_spans(events: Iterable[Any], device: torch.device) -> list[tuple[str, float, float]]:
    """Name, begin and end (microseconds) of everything that ran on the device."""
    return [
        (event.name, event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type.name == device.type.upper() and event.cpu_parent is None
    ]


def summarise(spans: list[tuple[str, float, float]]) -> Profile:
    """Of spans in microseconds, which may overlap."""
    totals: dict[str, tuple[int, float]] = {}
    busy_us, reached = 0.0, float("-inf")
    for name, begin, end in sorted(spans, key=lambda span: span[1]):
        count, total = totals.get(name, (0, 0.0))
        totals[name] = (count + 1, total + end - begin)
        busy_us += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    span_us = reached - min((begin for _, begin, _ in spans), default=reached)
    kernels = [Kernel(name, count, total / 1e6) for name, (count, total) in totals.items()]
    kernels.sort(key=lambda kernel: -kernel.seconds)
    return Profile(kernels, busy_us / 1e6, span_us / 1e6 if spans else 0.0)
