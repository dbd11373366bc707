"""How much memory this process may take: the machine's, or its container's limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# What an unlimited cgroup v1 reports, rounded down to pages; anything near it means no limit.
NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """Bytes. ``available_bytes`` can be taken now without swapping or being killed.

    ``bound_by`` says what it follows from: ``machine``, ``cgroup`` or ``device``, a GPU.
    """

    total_bytes: int
    available_bytes: int
    bound_by: str = "machine"


def read_memory_facts(root: Path = Path("/")) -> MemoryFacts:
    """The facts of this process from /proc and the cgroups of version 1 and 2 under ``root``.

    Where there is no /proc, all of the machine's memory counts as available.
    """
    machine = _machine_facts(root)
    facts = machine
    for limit, used in _cgroup_levels(root):
        left = max(0, limit - used)
        if limit < facts.total_bytes or left < facts.available_bytes:
            facts = MemoryFacts(
                total_bytes=min(limit, facts.total_bytes),
                available_bytes=min(left, facts.available_bytes),
                bound_by="cgroup" if left < machine.available_bytes else facts.bound_by,
            )
    return facts


def read_gpu_memory(device: str) -> MemoryFacts:
    """What is there and what is free on a CUDA device, such as ``cuda:0``, which must exist."""
    import torch

    free, total = torch.cuda.mem_get_info(torch.device(device))
    return MemoryFacts(total, free, "device")


def _machine_facts(root: Path) -> MemoryFacts:
    fields = _fields(root / "proc/meminfo")
    if "MemTotal:" in fields:
        total = fields["MemTotal:"] * 1024
        return MemoryFacts(total, min(total, fields.get("MemAvailable:", 0) * 1024 or total))
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return MemoryFacts(total, total)


def _cgroup_levels(root: Path) -> Iterator[tuple[int, int]]:
    """``(limit, used)`` of every limited cgroup that this process is in, innermost first.

    Page cache does not count as used: the kernel drops it before it refuses memory.
    """
    for directory in cgroup_directories(root, "memory"):
        for limit_name, used_name, cache_names in (
            ("memory.max", "memory.current", ("inactive_file", "active_file")),
            (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                ("total_inactive_file", "total_active_file"),
            ),
        ):
            limit = _number(directory / limit_name)
            if limit is None or limit >= NO_LIMIT:
                continue
            stat = _fields(directory / "memory.stat")
            cache = sum(stat.get(name, 0) for name in cache_names)
            yield limit, max(0, (_number(directory / used_name) or 0) - cache)


def cgroup_directories(root: Path, controller: str) -> Iterator[Path]:
    """Where a controller (``memory``, ``cpu``) may keep this process's files, with all parents.

    Inside a container the path in /proc/self/cgroup may not exist; the mount itself then is ours.
    """
    mount = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2) if line.count(":") >= 2 else ("", "-", "")
        if controllers == "":
            tops = [mount, mount / "unified"]
        elif controller in controllers.split(","):
            tops = [mount / controller]
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for top in tops:
            for depth in range(len(parts), -1, -1):
                yield top.joinpath(*parts[:depth])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _fields(path: Path) -> dict[str, int]:
    """``name number ...`` lines of a file in /proc or of a cgroup."""
    words = [line.split() for line in _lines(path)]
    return {word[0]: int(word[1]) for word in words if len(word) > 1 and word[1].isdigit()}


def _number(path: Path) -> int | None:
    """The number in a file; None where there is none (``max``, or no such file)."""
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdigit() else None
