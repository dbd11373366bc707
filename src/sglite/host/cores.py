"""The cores of this machine and what of them this process gets.

Read from /proc and /sys, below ``root`` in tests. Where a system has no such files, nothing limits.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sglite.memory.facts import cgroup_directories

SIBLINGS = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


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
    """How many there are, and may be used."""
    total = os.cpu_count() or 1
    quotas = [
        quota
        for directory in cgroup_directories(root, "cpu")
        for quota in (_quota_of_version_2(directory), _quota_of_version_1(directory))
        if quota is not None
    ]
    return Cores(total, len(usable_cores()), min(quotas, default=None))


def usable_cores() -> list[int]:
    """The numbers of those that this process may run on, in order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def whole_cores(numbers: Iterable[int], root: Path = Path("/")) -> list[int]:
    """Of ``numbers``, the first of each physical core: its siblings compute with the same units."""
    seen: set[str] = set()
    first = []
    for number in numbers:
        siblings = _text(root / SIBLINGS.format(number)).strip() or str(number)
        if siblings not in seen:
            seen.add(siblings)
            first.append(number)
    return first


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


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
