"""The compiled load client counts what a server streams, however the bytes are cut."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tools.sse_load import run
from tools.sse_load.run import Load, LoadError, run_load

NUM_EVENTS = 20
PIECE_BYTES = 7
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or sys.platform != "linux", reason="needs cc and Linux"
)


def event_stream() -> bytes:
    """Events of very different lengths, comments, and the end."""
    events = [b'data: {"text": "%b"}\n\n' % (b"data: x" * number) for number in range(NUM_EVENTS)]
    return b": a comment\n\n" + b"".join(events) + b"data: [DONE]\n\n"


def chunked(data: bytes, piece_bytes: int = PIECE_BYTES) -> list[bytes]:
    """``data`` as chunks whose borders fall anywhere, and the last chunk."""
    pieces = [data[i : i + piece_bytes] for i in range(0, len(data), piece_bytes)]
    return [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]


@dataclass
class ToyServer:
    """Answers every call with the same ``head`` and ``parts``, one write each."""

    head: bytes = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    parts: list[bytes] = field(default_factory=lambda: chunked(event_stream()))
    closes: bool = False
    url: str = ""
    calls: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                self.calls.append((head, await reader.readexactly(length)))
                await self.send(writer)
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def send(self, writer: asyncio.StreamWriter) -> None:
        writer.write(self.head)
        for number, part in enumerate(self.parts):
            writer.write(part)
            if number % 16 == 0:
                await writer.drain()
                await asyncio.sleep(0.001)
        await writer.drain()


@contextmanager
def serving(server: ToyServer) -> Iterator[ToyServer]:
    """``server`` on a free port, in a thread of its own."""
    loop, started, stopped = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        listener = await asyncio.start_server(server.answer, "127.0.0.1", 0)
        server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        started.set()
        await stopped.wait()
        listener.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # closed connections are let go in later turns

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield server
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(10)
        loop.close()


@needs_compiler
def test_events_are_counted_whatever_the_chunks_cut_and_the_answers_follow_each_other():
    with serving(ToyServer()) as server:
        figures = run_load(Load(url=server.url, body={"a": 1}, streams=4, seconds=1.0))
    assert figures["errors"] == 0
    assert len(server.calls) - 4 <= figures["requests"] <= len(server.calls)
    assert figures["requests"] > 4, "no connection was used twice"
    assert figures["events_per_answer"] == NUM_EVENTS
    done = figures["requests"] * NUM_EVENTS
    assert done <= figures["events"] <= done + 4 * NUM_EVENTS
    assert 0 < figures["gap_p50_ms"] <= figures["gap_p99_ms"]
    assert 0 < figures["ttft_p50_ms"] <= figures["ttft_p99_ms"]
    assert figures["events_per_s"] == pytest.approx(
        figures["events"] / figures["seconds"], rel=0.01
    )


@needs_compiler
def test_the_call_is_the_one_that_was_asked_for():
    with serving(ToyServer()) as server:
        body = {"prompt": "é" * 5000}
        run_load(Load(url=server.url, path="/x", body=body, streams=1, seconds=0.3, header="K: v"))
    for head, sent in server.calls:
        assert head.startswith(b"POST /x HTTP/1.1\r\n") and b"\r\nK: v\r\n" in head
        assert json.loads(sent) == body


@needs_compiler
def test_answers_with_a_length_and_connections_that_close_are_read_too():
    data = event_stream()
    head = HEAD + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(data)
    with serving(ToyServer(head, [data], closes=True)) as server:
        figures = run_load(Load(url=server.url, streams=2, seconds=0.5))
    assert figures["errors"] == 0 and figures["requests"] > 2
    assert figures["events_per_answer"] == NUM_EVENTS
    assert figures["gap_p50_ms"] is None, "one write is one read"


@needs_compiler
def test_what_goes_wrong_is_counted_and_no_event_is_made_of_it(capfd):
    refusal = b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n"
    with serving(ToyServer(refusal, [b"data: {}\n"])) as server:
        figures = run_load(Load(url=server.url, streams=1, seconds=0.3))
    assert figures["requests"] == figures["events"] == 0 and figures["errors"] > 1
    assert "the first error is a status 503" in capfd.readouterr().err
    broken = chunked(b'data: {"text": 1}\n\ndata: {"error": {}}\n\ndata: [DONE]\n\n')
    with serving(ToyServer(parts=broken)) as server:
        figures = run_load(Load(url=server.url, streams=1, seconds=0.3))
    assert figures["errors"] >= figures["requests"] > 0 and figures["events_per_answer"] == 1
    with serving(ToyServer(b"nonsense\r\n\r\n", [])) as server:
        figures = run_load(Load(url=server.url, streams=1, seconds=0.3))
    assert figures["requests"] == 0 and figures["errors"] > 1


@needs_compiler
def test_an_answer_that_is_cut_off_is_an_error():
    with serving(ToyServer(parts=chunked(event_stream())[:20], closes=True)) as server:
        figures = run_load(Load(url=server.url, streams=1, seconds=0.3))
    assert figures["requests"] == 0 and figures["errors"] > 0 and figures["events"] > 0


@needs_compiler
def test_the_command_prints_a_table_or_json(capsys):
    with serving(ToyServer()) as server:
        assert run.main(["--url", server.url, "--streams", "1", "--seconds", "0.3"]) == 0
        table = capsys.readouterr().out
        arguments = ["--url", server.url, "--streams", "1", "--seconds", "0.3", "--json"]
        assert run.main(arguments) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == set(run.ROWS)
    assert [line.split("  ")[0] for line in table.splitlines()] == list(run.ROWS.values())
    assert json.loads(server.calls[0][1]) == run.completion_body(200)


@needs_compiler
def test_without_a_server_there_are_no_figures(capfd):
    with pytest.raises(LoadError, match="the client ended with 1"):
        run_load(Load(url="http://127.0.0.1:1", streams=1, seconds=0.1))
    assert "connect: Connection refused" in capfd.readouterr().err


def test_what_cannot_run_says_why(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run.shutil, "which", lambda name: None)
    with pytest.raises(LoadError, match="no C compiler"):
        run.compile_client(tmp_path)
    assert run.main(["--url", "ftp://x"]) == 2
    assert "is not like http://" in capsys.readouterr().err
