"""What the system says of this machine: the CPU, its cores and its pages.

Read from /proc and /sys, below ``root`` in tests. Where a system has no such files, what it does
not say is None or empty.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from sglite.memory.facts import cgroup_directories

# What makes a difference to the kernels, as Linux names it; `asimd` is what others call NEON.
X86_FLAGS = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
)
ARM_FLAGS = ("asimd", "asimddp", "i8mm", "bf16", "sve")
HUGE_PAGES = "sys/kernel/mm/transparent_hugepage/enabled"


@dataclass(frozen=True, slots=True)
class Cores:
    """``usable``: those that this process may run on; ``quota``: how many its cgroup pays for.

    ``quota`` is None where nothing limits it; it may be a fraction.
    """

    total: int
    usable: int
    quota: float | None

    @property
    def effective(self) -> float:
        """How many can be busy all the time."""
        return self.usable if self.quota is None else min(self.usable, self.quota)


def read_cores(root: Path = Path("/")) -> Cores:
    """The cores of this machine and what of them this process gets."""
    total = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    quotas = [
        quota
        for directory in cgroup_directories(root, "cpu")
        for quota in (_quota_of_version_2(directory), _quota_of_version_1(directory))
        if quota is not None
    ]
    return Cores(total, usable, min(quotas, default=None))


def cpu_name(root: Path = Path("/")) -> str:
    """What the CPU is called; the architecture where the system does not say more."""
    names = _cpuinfo(root, "model name", "Model")
    return names or platform.processor() or platform.machine()


def cpu_flags(root: Path = Path("/")) -> dict[str, bool]:
    """Each instruction set that matters on this architecture, and whether the CPU has it.

    Empty where the system does not list them.
    """
    flags = set(_cpuinfo(root, "flags", "Features").split())
    if not flags:
        return {}
    return {flag: flag in flags for flag in (ARM_FLAGS if "asimd" in flags else X86_FLAGS)}


def huge_pages(root: Path = Path("/")) -> str | None:
    """When Linux backs memory with huge pages: always, madvise or never."""
    chosen = [word for word in _text(root / HUGE_PAGES).split() if word.startswith("[")]
    return chosen[0].strip("[]") if chosen else None


def _quota_of_version_2(directory: Path) -> float | None:
    """``cpu.max`` holds microseconds of a period, or ``max``, and the period."""
    return _share(_text(directory / "cpu.max").split())


def _quota_of_version_1(directory: Path) -> float | None:
    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")  # the quota is -1 where there is none
    return _share([_text(directory / name).strip() for name in names])


def _share(words: list[str]) -> float | None:
    if len(words) != 2 or not all(word.isdigit() and int(word) for word in words):
        return None
    return int(words[0]) / int(words[1])


def _cpuinfo(root: Path, *names: str) -> str:
    """The value of the first line of /proc/cpuinfo with one of ``names``; empty without one."""
    for line in _text(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
