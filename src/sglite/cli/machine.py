"""What the system says of this machine: the CPU, its pages, the driver of its GPU.

Read from /proc and /sys, below ``root`` in tests. Where a system has no such files, what it does
not say is None or empty.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path

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
NVIDIA_DRIVER = "proc/driver/nvidia/version"
HUGE_PAGES = "sys/kernel/mm/transparent_hugepage/enabled"


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


def nvidia_driver(root: Path = Path("/")) -> str | None:
    """Version of NVIDIA's driver, e.g. 580.65.06; None where there is none, or not on Linux."""
    first_line = _text(root / NVIDIA_DRIVER).partition("\n")[0]
    found = re.search(r"\b\d{3,}\.\d+(\.\d+)*\b", first_line)
    return found[0] if found else None


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
