"""A real server in a process of its own, for the few tests that need one."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

import sglite

SOURCES = str(Path(sglite.__file__).resolve().parent.parent)
START_TIMEOUT_S = 120.0


class LiveServer:
    """``sglite serve`` or ``router`` on a free port. ``errors`` is what it wrote to stderr.

    ``prefix`` is a command that runs it, such as ``ip netns exec NAME``.
    """

    def __init__(
        self,
        *arguments: str,
        directory: Path,
        command: str = "sglite serve",
        prefix: Sequence[str] = (),
    ) -> None:
        module = command.split() if command.startswith("sglite ") else [command]
        self.log = directory / "server.log"
        self.temporary = directory / "tmp"
        self.temporary.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "PYTHONPATH": SOURCES,
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(self.temporary),
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", *module, "--port", "0", *arguments],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.url = ""

    @property
    def errors(self) -> str:
        return self.log.read_text()

    def wait_ready(self) -> LiveServer:
        """Wait for the line that says where it serves."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            found = re.search(r"^(https?://\S+) serves", self.errors, re.MULTILINE)
            if found:
                self.url = found.group(1)
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"the server did not start:\n{self.errors}")

    def client(self, **settings: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60.0, **settings)

    def children(self) -> list[int]:
        """Processes of the server's group but itself."""
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = status.read_text().rpartition(")")[2].split()
                pid = int(status.parent.name)
                if int(fields[2]) == self.process.pid and fields[0] != "Z":
                    found.append(pid)
        return [pid for pid in found if pid != self.process.pid]

    def running(self, module: str) -> list[int]:
        """Its processes that run ``python -m sglite.<module>``, by age."""
        found = []
        for pid in sorted(self.children()):
            with contextlib.suppress(OSError):
                if f"sglite.{module}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def interrupt(self) -> None:
        """Ctrl-C, as a terminal sends it: to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self, timeout_s: float = 60.0) -> int:
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """End what is left of it, however it stands."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def assert_nothing_left(self) -> None:
        """No process, and no file where its socket was."""
        deadline = time.monotonic() + 10
        while self.children() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.children() == []
        assert list(self.temporary.iterdir()) == []


@contextlib.contextmanager
def live_server(*arguments: str, directory: Path, **settings: str) -> Iterator[LiveServer]:
    """A server that is ready; killed afterwards if it still runs."""
    server = LiveServer(*arguments, directory=directory, **settings)
    try:
        yield server.wait_ready()
    finally:
        server.kill()
