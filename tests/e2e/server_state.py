"""What a running server holds, as seen from outside: requests, pages, files, memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.server.live import LiveServer

SETTLE_S = 5.0
"""What a server may take to settle. It needs milliseconds; the machine may be busy."""


def loads(http: httpx.Client) -> dict[str, int]:
    """The one entry of ``/v1/loads``."""
    entry: dict[str, int] = http.get("/v1/loads").json()["loads"][0]
    return entry


def stats(http: httpx.Client) -> dict[str, int]:
    """The engine's counters."""
    found: dict[str, int] = http.get("/server_info").json()["internal_states"][0]["stats"]
    return found


def wait_until(
    condition: Callable[[], bool], describe: Callable[[], object], timeout_s: float = SETTLE_S
) -> float:
    """Wait until ``condition`` holds; the seconds that took. Fails where it does not."""
    started_s = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - started_s
        assert waited_s < timeout_s, f"not after {waited_s:.1f} s: {describe()}"
        time.sleep(0.01)
    return time.monotonic() - started_s


def wait_until_idle(http: httpx.Client) -> float:
    """Wait until no request lives and no page is in use; the seconds that took."""
    busy = ("num_running_reqs", "num_waiting_reqs", "num_used_tokens")
    return wait_until(
        lambda: not any(loads(http)[name] for name in busy), lambda: (loads(http), stats(http))
    )


def assert_nothing_leaked(http: httpx.Client) -> None:
    """Fails unless an emptied cache leaves every page free."""
    assert http.post("/flush_cache").status_code == 200
    found = stats(http)
    assert found["cache_num_free_tokens"] == found["cache_num_total_tokens"]


def open_files(server: LiveServer) -> dict[int, int]:
    """How many file descriptors each of the server's processes has."""
    pids = [server.process.pid, *server.children()]
    return {pid: len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids}


def wait_until_files_are_closed(server: LiveServer, before: dict[int, int], slack: int = 2) -> None:
    """Wait until every process has as many files open as ``before``, but for ``slack``."""

    def is_back() -> bool:
        now = open_files(server)
        return now.keys() == before.keys() and all(
            abs(now[pid] - before[pid]) <= slack for pid in before
        )

    wait_until(is_back, lambda: f"{before} became {open_files(server)}")


def log_entries(server: LiveServer) -> list[dict[str, Any]]:
    """The lines of a log in JSON; the lines for people are left out, others fail."""
    lines = server.errors.splitlines()
    spoken = [number for number, line in enumerate(lines) if not line.startswith("{")]
    assert all("serves" in lines[number] or "model" in lines[number] for number in spoken), lines
    return [json.loads(line) for line in lines if line.startswith("{")]
