"""What this machine reads and computes per second, and what it is.

The read rate is torch's sum of a float32 array far larger than any cache, over all compute threads:
within noise it is as fast as a C loop of vector loads. The rate of arithmetic is torch's product of
two square matrices. Both are the best of a few passes: a machine can only be disturbed downwards.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

READ_BYTES = 1 << 30
MATRIX_SIZE = 2048
NUM_PASSES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Bytes read per second, and operations per second of the type that the weights have.

    ``int8_ops_per_s`` is None where nothing was to be computed in 8 bits.
    """

    read_bytes_per_s: float
    flop_per_s: float
    int8_ops_per_s: float | None = None


def measure_rates(
    dtype: torch.dtype,
    *,
    with_int8: bool = False,
    read_bytes: int = READ_BYTES,
    matrix_size: int = MATRIX_SIZE,
) -> Rates:
    """The rates at this moment; takes about two seconds and ``read_bytes`` of memory."""
    return Rates(
        read_bytes_per_s=measure_read(read_bytes),
        flop_per_s=measure_product(dtype, matrix_size),
        int8_ops_per_s=measure_product(torch.int8, matrix_size) if with_int8 else None,
    )


def measure_read(num_bytes: int) -> float:
    """Bytes per second of reading an array once, by all of torch's threads."""
    values = torch.ones(num_bytes // 4, dtype=torch.float32)
    return 4 * len(values) / _best_s(values.sum)


def measure_product(dtype: torch.dtype, size: int) -> float:
    """Operations per second of a product of two ``size`` x ``size`` matrices."""
    if dtype is torch.int8:
        left, right = (torch.randint(-127, 127, (size, size), dtype=dtype) for _ in range(2))
        seconds = _best_s(lambda: torch._int_mm(left, right.t()))
    else:
        left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
        seconds = _best_s(lambda: torch.mm(left, right))
    return 2 * size**3 / seconds


def _best_s(work: Callable[[], Any]) -> float:
    work()
    seconds = []
    for _ in range(NUM_PASSES):
        start_s = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start_s)
    return max(min(seconds), 1e-9)


def median_rates(readings: list[Rates]) -> Rates:
    """Each rate's median; there is at least one reading."""
    columns: dict[str, float | None] = {}
    for name in asdict(readings[0]):
        values = sorted(v for each in readings if (v := getattr(each, name)) is not None)
        columns[name] = _median(values) if values else None
    return Rates(**columns)  # type: ignore[arg-type]


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[-1 - middle]) / 2


def busy_seconds(stat: Path = Path("/proc/stat")) -> Mapping[str, float]:
    """CPU seconds of the whole machine since its start: worked, and taken by its host.

    Empty where the system does not say.
    """
    try:
        fields = stat.read_text().split("\n", 1)[0].split()
    except OSError:
        return {}
    ticks = os.sysconf("SC_CLK_TCK")
    user, nice, system = (int(field) / ticks for field in fields[1:4])
    return {"busy_s": user + nice + system, "steal_s": int(fields[8]) / ticks}


def describe_machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """What a reader needs to compare figures: processor, threads, versions."""
    facts: dict[str, Any] = {
        "processor": _processor_name(cpuinfo) or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    return facts


def _processor_name(cpuinfo: Path) -> str | None:
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else None
