"""The processes of a server by what they do, and what must not be left of them."""

from __future__ import annotations

import time
from pathlib import Path

from tests.server.live import LiveServer

ENGINE = "ipc.engine_process"
RENDERER = "server.render_process"
API_WORKER = "server.api_worker"
SHARED_MEMORY = Path("/dev/shm")


def parent_of(pid: int) -> int:
    """The process that started ``pid``."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def resident_bytes(pids: list[int]) -> int:
    """Memory of these processes together that belongs to no file, resident or swapped out."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "VmSwap:")):
                total += 1024 * int(line.split()[1])
    return total


def shared_memory_files() -> set[str]:
    """Names in the shared memory of the machine."""
    return {path.name for path in SHARED_MEMORY.iterdir()} if SHARED_MEMORY.is_dir() else set()


def wait_until_alone(server: LiveServer, timeout_s: float) -> float:
    """Wait until the server has no other process; the seconds that took. Fails where it is late."""
    started_s = time.monotonic()
    while left := server.children():
        waited_s = time.monotonic() - started_s
        assert waited_s < timeout_s, f"{left} still run after {waited_s:.1f} s"
        time.sleep(0.02)
    return time.monotonic() - started_s


def tracebacks(log: str) -> int:
    """Tracebacks in a log, but for the one that Ctrl-C leaves where Python itself still starts."""
    return log.count("Traceback (most recent call last)") - log.count("\nKeyboardInterrupt\n")
