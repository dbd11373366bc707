"""A server of our own to measure: ``sglite serve`` as a child, gone when the measuring is done."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sglite.client.http import HttpClient
from sglite.errors import CapacityError, RemoteError, RequestError

START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.1


@contextmanager
def own_server(
    flags: Sequence[str], *, command: Sequence[str] = (sys.executable, "-m", "sglite", "serve")
) -> Iterator[str]:
    """Start ``sglite serve`` with ``flags`` on a free port; gives its URL once it is ready.

    Raises RemoteError where it ends or is not ready in time; what it said is on standard error.
    """
    port = free_port()
    process = subprocess.Popen([*command, *flags, "--port", str(port)], stdout=sys.stderr)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process)
        yield url
    finally:
        stop(process)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until_ready(
    url: str, process: subprocess.Popen[bytes], *, timeout_s: float = START_TIMEOUT_S
) -> None:
    """Return when the server answers /v1/models. Raises RemoteError."""
    http = HttpClient(url, connect_timeout_s=1.0, read_timeout_s=10.0)
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if process.poll() is not None:
            raise RemoteError(f"sglite serve ended with code {process.returncode}")
        try:
            http.get_json("/ready")
            http.get_json("/v1/models")
        except (RemoteError, CapacityError, RequestError):
            time.sleep(POLL_S)
        else:
            return
    raise RemoteError(f"sglite serve was not ready within {timeout_s:g} s")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, and kill it where it does not."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
