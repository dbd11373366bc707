"""Two servers behind a router, ours and SGLang's: clients notice nothing, unless one dies."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.chat_clients import CHAT_CLIENTS
from tests.server.live import LiveServer, live_server
from tools.clients import check_behind_router

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
HELLO = [{"role": "user", "content": "What is the capital of France?"}]
READY_S = 60.0
TOLD_S = 5.0
WHOLE_AGAIN_S = 15.0
POLICIES = ("cache_aware", "round_robin", "power_of_two")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def start_servers(tmp_path: Path, *options: str) -> list[LiveServer]:
    """Two servers that start side by side."""
    servers = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        servers.append(LiveServer("--dtype", "float32", *options, directory=tmp_path / name))
    return [server.wait_ready() for server in servers]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[LiveServer]]:
    running = start_servers(tmp_path_factory.mktemp("servers"))
    yield running
    for server in running:
        server.kill()


def check(url: str, servers: list[LiveServer]) -> None:
    """The script of checks, then every client library against both addresses."""
    direct = [word for server in servers for word in ("--direct", server.url)]
    assert check_behind_router.main([url, *direct]) == 0
    for ask in CHAT_CLIENTS:
        assert ask(url, HELLO) == ask(servers[0].url, HELLO), ask.__name__


@contextlib.contextmanager
def sglang_router(policy: str, servers: list[LiveServer], log: Path) -> Iterator[str]:
    """SGLang's router as its users start it; both workers are registered."""
    port, metrics_port = free_port(), free_port()
    words = ["--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(metrics_port)]
    words += ["--balance-abs-threshold", "2", "--balance-rel-threshold", "1.1"]
    words += ["--policy", policy, "--worker-urls", *(server.url for server in servers)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sglang_router.launch_router", *words],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline_s = time.monotonic() + READY_S
        while not knows_both(url):
            assert process.poll() is None and time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.1)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def knows_both(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        answer = httpx.get(f"{url}/workers")
        workers = answer.json()["workers"] if answer.status_code == 200 else []
        return sum(worker["is_healthy"] for worker in workers) == 2
    return False


@pytest.mark.parametrize("policy", POLICIES)
def test_sglangs_router_serves_clients_as_one_server_does(servers, tmp_path, policy):
    if importlib.util.find_spec("sglang_router") is None:
        pytest.skip("sglang-router is not installed")
    with sglang_router(policy, servers, tmp_path / "log") as url:
        check(url, servers)


@pytest.mark.parametrize("policy", ["cache_aware", "round_robin", "shortest_queue", "sticky"])
def test_our_router_serves_clients_as_one_server_does(servers, tmp_path, policy):
    workers = [server.url for server in servers]
    words = ["--workers", *workers, "--routing-policy", policy, "--balance-tokens", "64"]
    with live_server(*words, directory=tmp_path, command="sglite router") as router:
        check(router.url, servers)


# -- a worker that is killed -----------------------------------------------------------------------


class Load:
    """Clients that ask and ask, half of them streams. ``ends`` are the answers, in their order."""

    def __init__(self, url: str, num_clients: int) -> None:
        self.ends: list[tuple[float, str]] = []
        self.killed_s = float("inf")
        self._stop = threading.Event()
        self._url = url
        self._threads = [
            threading.Thread(target=self._ask, args=(number % 2 == 0,), daemon=True)
            for number in range(num_clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def wait_for(self, count: int) -> None:
        deadline_s = time.monotonic() + 60
        while len(self.ends) < count:
            assert time.monotonic() < deadline_s, self.ends
            time.sleep(0.01)

    def _ask(self, is_stream: bool) -> None:
        body = {
            "text": "Once upon a time",
            "sampling_params": {"max_new_tokens": 300, "ignore_eos": True},
            "stream": is_stream,
        }
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._stop.is_set():
                began_s = time.monotonic()
                answer = client.post("/generate", json=body)
                late_s = time.monotonic() - max(began_s, self.killed_s)
                self.ends.append((late_s, how_it_ended(answer, is_stream)))


def how_it_ended(answer: httpx.Response, is_stream: bool) -> str:
    """``complete``, ``told`` or what nobody should see."""
    if answer.status_code == 503:
        return "told"
    if answer.status_code != 200:
        return f"{answer.status_code}: {answer.text[:200]}"
    if not is_stream:
        return "complete" if len(answer.json()["output_ids"]) == 300 else answer.text[-200:]
    *_, last, done, _ = answer.text.split("\n\n")
    event: dict[str, Any] = json.loads(last.removeprefix("data: "))
    if done != "data: [DONE]":
        return f"no end: {done}"
    if "error" in event:
        return "told"
    return "complete" if len(event["output_ids"]) == 300 else last[-200:]


def test_a_worker_killed_under_load_costs_its_streams_alone_and_comes_back(tmp_path):
    first, second = start_servers(tmp_path)
    port = first.url.rpartition(":")[2]
    words = ["--workers", first.url, second.url, "--routing-policy", "round_robin"]
    with (
        live_server(*words, directory=tmp_path, command="sglite router") as router,
        Load(router.url, 12) as load,
    ):
        load.wait_for(24)
        num_before = len(load.ends)
        assert {end for _, end in load.ends} == {"complete"}
        load.killed_s = time.monotonic()
        first.kill()
        load.wait_for(num_before + 48)
        after = load.ends[num_before:]
        assert {end for _, end in after} <= {"complete", "told"}
        assert 1 <= sum(end == "told" for _, end in after) <= 12
        assert all(late_s < TOLD_S for late_s, end in after if end == "told")
        (tmp_path / "again").mkdir()
        words = ["--dtype", "float32", "--port", port]
        with live_server(*words, directory=tmp_path / "again"):
            ready_s = time.monotonic()
            while not knows_both(router.url):
                assert time.monotonic() - ready_s < WHOLE_AGAIN_S
                time.sleep(0.1)
    second.kill()
