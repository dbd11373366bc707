"""Clients that read a byte now and then, write a byte now and then, or say nothing at all.

They lose their connections in time, the server keeps its memory, and others notice nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import selectors
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from tests.e2e.process_tree import resident_bytes
from tests.e2e.raw_http import RawConnection, request_bytes
from tests.e2e.server_state import (
    assert_nothing_leaked,
    log_entries,
    open_files,
    wait_until,
    wait_until_files_are_closed,
    wait_until_idle,
)
from tests.server.live import LiveServer, live_server

BUFFER_BYTES = 256 << 10
"""What a stream that nobody reads may cost the HTTP process, beside what it costs to serve it."""
OTHER_BYTES = 16 << 20
HANG_S = 1200.0
SAMPLE_S = 0.2
WINDOW_BYTES = 4096
BULKY = {
    "input_ids": [300 + i for i in range(300)],
    "stream": True,
    "return_logprob": True,
    "logprob_start_len": 0,
    "top_logprobs_num": 5,
    "sampling_params": {"max_new_tokens": 300, "ignore_eos": True},
}
"""Every event of its answer has the prompt's log-probabilities again: some 45 kB."""
HONEST = {
    "text": "The capital of France is",
    "stream": True,
    "sampling_params": {"temperature": 0, "max_new_tokens": 120, "ignore_eos": True},
}
HALF_A_REQUEST = request_bytes("/generate", headers={"Content-Length": "5000"})


@dataclass
class Crowd:
    """Slow clients of one server, and the thread that moves a byte for each in every interval."""

    url: str
    interval_s: float
    readers: list[RawConnection] = field(default_factory=list)
    writers: list[RawConnection] = field(default_factory=list)
    silent: list[RawConnection] = field(default_factory=list)
    idle: list[RawConnection] = field(default_factory=list)

    def gather(self, num_readers: int, num_writers: int, num_idle: int) -> None:
        """Half of the idle ones have had an answer; the others have never said anything."""
        for _ in range(num_readers):
            reader = RawConnection(self.url, receive_buffer_bytes=WINDOW_BYTES)
            reader.send(request_bytes("/generate", BULKY))
            self.readers.append(reader)
        for _ in range(num_writers):
            writer = RawConnection(self.url)
            writer.send(HALF_A_REQUEST)
            self.writers.append(writer)
        for number in range(num_idle):
            connection = RawConnection(self.url)
            if number % 2:
                connection.send(request_bytes("/health", method="GET"))
                assert connection.answer()[0] == 200
            (self.idle if number % 2 else self.silent).append(connection)

    @contextlib.contextmanager
    def trickling(self) -> Iterator[None]:
        """Inside, readers read and writers write."""
        is_over = threading.Event()
        thread = threading.Thread(target=self._trickle, args=(is_over,))
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
            for connection in (*self.readers, *self.writers, *self.silent, *self.idle):
                connection.reset()

    def _trickle(self, is_over: threading.Event) -> None:
        while not is_over.wait(self.interval_s):
            for reader in self.readers:
                with contextlib.suppress(OSError):
                    reader.take_a_byte()
            for writer in self.writers:
                with contextlib.suppress(OSError):
                    writer.send(b" ")


def honest_answer(url: str) -> tuple[str, list[float]]:
    """The text of a stream that is read as it comes, and the seconds between its events."""
    moments, text = [], ""
    with httpx.stream("POST", f"{url}/generate", json=HONEST, timeout=300) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                moments.append(time.monotonic())
                text = json.loads(line[6:])["text"]
    gaps = [late - early for early, late in itertools.pairwise(moments)]
    return text, sorted(gaps)


def memory_while_read(server: LiveServer, count: int) -> int:
    """The most memory while ``count`` of the bulky streams are served to clients that read."""
    peak, selector = 0, selectors.DefaultSelector()
    for _ in range(count):
        connection = RawConnection(server.url, receive_buffer_bytes=WINDOW_BYTES)
        connection.send(request_bytes("/generate", BULKY, headers={"Connection": "close"}))
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    sampled_s = 0.0
    while selector.get_map():
        for key, _ in selector.select():
            if not key.data.receive(1 << 20):
                selector.unregister(key.fileobj)
                key.data.socket.close()
        if time.monotonic() - sampled_s > SAMPLE_S:
            peak = max(peak, resident_bytes([server.process.pid]))
            sampled_s = time.monotonic()
    return peak


def check_crowd(server: LiveServer, counts: tuple[int, int, int], interval_s: float) -> None:
    """Let ``counts`` readers, writers and idle clients come; see them go and others be served."""
    with server.client() as http:
        text, gaps_before = honest_answer(server.url)
        wait_until_idle(http)
        files, memory = open_files(server), memory_while_read(server, counts[0])
        wait_until_idle(http)
        crowd = Crowd(server.url, interval_s)
        crowd.gather(*counts)
        with crowd.trickling():
            peak, gaps = _serve_others(server, http, text, num_stalled=counts[0])
            for writer in crowd.writers:
                assert writer.answer()[0] == 408
            for connection in (*crowd.silent, *crowd.idle, *crowd.writers):
                connection.read_to_end()
            wait_until_idle(http)
        print(
            f"{counts}: {(peak - memory) / counts[0] / 1024:.0f} kB more per stalled stream than"
            f" per one that is read; p99 between events {_p99_ms(gaps):.1f} ms,"
            f" alone {_p99_ms(gaps_before):.1f} ms"
        )
        assert peak - memory < counts[0] * BUFFER_BYTES + OTHER_BYTES
        wait_until_files_are_closed(server, files)
        assert_nothing_leaked(http)


def _serve_others(
    server: LiveServer, http: httpx.Client, text: str, *, num_stalled: int
) -> tuple[int, list[float]]:
    """Until every slow reader has been cut off; the most memory, and the gaps between events."""
    before = num_stalls(server)
    peak, gaps = 0, []
    deadline_s = time.monotonic() + HANG_S
    while num_stalls(server) - before < num_stalled:
        assert time.monotonic() < deadline_s, f"only {num_stalls(server) - before} were cut off"
        found, new_gaps = honest_answer(server.url)
        assert found == text
        gaps += new_gaps
        peak = max(peak, resident_bytes([server.process.pid]))
    return peak, sorted(gaps)


def num_stalls(server: LiveServer) -> int:
    """Streams that were ended because nobody read them."""
    return sum(entry["event"] == "stream_stalled" for entry in log_entries(server))


def _p99_ms(gaps: list[float]) -> float:
    return 1000 * gaps[int(0.99 * (len(gaps) - 1))]


LOGGED = ("--log-level", "info", "--log-format", "json")
HURRIED = (
    *("--stall-timeout-s", "1", "--read-timeout-s", "1.5", "--keep-alive-timeout-s", "1"),
    *("--max-connections", "40"),
)


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with little patience."""
    directory = tmp_path_factory.mktemp("hurried")
    with live_server(*LOGGED, *HURRIED, directory=directory) as server:
        yield server


def test_slow_clients_lose_their_connections_and_others_notice_nothing(hurried):
    check_crowd(hurried, (8, 8, 12), interval_s=0.1)


@pytest.mark.slow
def test_hundreds_of_slow_clients_lose_their_connections(tmp_path):
    with live_server(*LOGGED, directory=tmp_path) as server:
        check_crowd(server, (100, 100, 200), interval_s=1.0)


def test_connections_beyond_the_limit_are_told_to_come_back(hurried):
    with hurried.client() as http:
        assert http.get("/health").status_code == 200
        time.sleep(1.5)  # connections of the tests before end
    connections = [RawConnection(hurried.url) for _ in range(60)]
    refused = [each.answer() for each in connections[40:]]
    for status, headers, body in refused:
        assert (status, headers["retry-after"]) == (503, "1")
        assert json.loads(body)["object"] == "error"
    first = connections[0]
    first.send(request_bytes("/health", method="GET"))
    assert first.answer()[0] == 200
    for connection in connections:
        connection.reset()
    with hurried.client() as http:
        wait_until(lambda: _is_served(http), lambda: "still refused")


def _is_served(http: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return http.get("/health").status_code == 200
    return False


def test_slow_head_is_a_408(hurried):
    with RawConnection(hurried.url) as connection:
        connection.send(HALF_A_REQUEST[:20])
        assert connection.answer()[0] == 408
        assert connection.read_to_end() == b""
