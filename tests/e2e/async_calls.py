"""Calls of a real server, many at a time, of which the way they end is what matters.

calls = [Call(server.url, path, body) for path, body in mixed_bodies(16, num_tokens=1900)]
tasks = [asyncio.ensure_future(call.run()) for call in calls]
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from sglite.bench.load.wire import BodyReader, EventSplitter, parse_head

DONE = "[DONE]"
PROBE_PERIOD_S = 0.05
PROBE_TIMEOUT_S = 2.0
HUNG = -1
"""The status of a probe that got no answer in time."""


class Call:
    """One call on a connection of its own. Times are those of the monotonic clock.

    ``ending`` is ``answered``, ``told`` of an error, ``refused`` before anything began (a status
    other than 200), ``cut`` off, or ``open`` while it has not ended. ``num_tokens`` is what the
    answer said it has.
    """

    def __init__(self, url: str, path: str, body: dict[str, Any] | None = None) -> None:
        self._url, self._path, self._body = url, path, body
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.started_s = 0.0
        self.first_s: float | None = None
        self.ended_s = 0.0
        self.num_events = 0
        self.num_tokens = 0
        self.ending = "open"
        self.last: Any = None
        self.task: asyncio.Task[Call] | None = None

    def begin(self) -> asyncio.Task[Call]:
        """Make the call in a task of its own, which is its ``task`` from now on."""
        self.task = asyncio.get_running_loop().create_task(self.run())
        return self.task

    async def run(self) -> Call:
        """Make the call; nothing is raised, ``ending`` says it all."""
        self.started_s = time.monotonic()
        try:
            await self._exchange()
        except (OSError, asyncio.IncompleteReadError):
            self.ending = "cut"
        self.ended_s = time.monotonic()
        return self

    @property
    def seconds(self) -> float:
        """From its start to its end."""
        return self.ended_s - self.started_s

    async def _exchange(self) -> None:
        address = urlsplit(self._url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(self._request())
            await self._read(reader)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _request(self) -> bytes:
        method = "GET" if self._body is None else "POST"
        content = b"" if self._body is None else json.dumps(self._body).encode()
        head = f"{method} {self._path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(content)}\r\n"
        return head.encode() + b"Content-Type: application/json\r\n\r\n" + content

    async def _read(self, reader: asyncio.StreamReader) -> None:
        self.status, self.headers = parse_head(await reader.readuntil(b"\r\n\r\n"))
        body = BodyReader(reader, self.headers)
        if "event-stream" in self.headers.get("content-type", ""):
            await self._read_events(body)
            return
        text = b""
        while data := await body.read():
            text += data
        self._take(text.decode() or "null")
        self.ending = "answered" if self.status == 200 else "refused"

    async def _read_events(self, body: BodyReader) -> None:
        splitter, is_done = EventSplitter(), False
        while data := await body.read():
            for event in splitter.push(data):
                is_done = event == DONE
                if not is_done:
                    self._take(event)
        was_told = isinstance(self.last, dict) and "error" in self.last
        self.ending = ("told" if was_told else "answered") if is_done else "cut"

    def _take(self, text: str) -> None:
        self.first_s = self.first_s or time.monotonic()
        self.num_events += 1
        self.last = json.loads(text)
        if isinstance(self.last, dict):
            meta, usage = self.last.get("meta_info") or {}, self.last.get("usage") or {}
            said = meta.get("completion_tokens") or usage.get("completion_tokens") or 0
            self.num_tokens = max(self.num_tokens, said)


def mixed_bodies(count: int, *, num_tokens: int) -> list[tuple[str, dict[str, Any]]]:
    """``count`` paths and bodies: streams of all three protocols, and every eighth in one piece."""
    native = {"temperature": 0, "max_new_tokens": num_tokens, "ignore_eos": True}
    openai = {"temperature": 0, "max_tokens": num_tokens, "ignore_eos": True, "model": "m"}
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    kinds: Iterator[int] = itertools.cycle((0, 1, 2, 0, 1, 2, 0, 3))
    made: list[tuple[str, dict[str, Any]]] = []
    for number, kind in zip(range(count), kinds, strict=False):
        prompt = f"{number}. The capital of France is"
        message = {"role": "user", "content": prompt}
        made.append(
            (
                ("/generate", {"text": prompt, "stream": True, "sampling_params": native}),
                ("/v1/completions", {"prompt": prompt} | openai | streamed),
                ("/v1/chat/completions", {"messages": [message]} | openai | streamed),
                ("/generate", {"text": prompt, "sampling_params": native}),
            )[kind]
        )
    return made


class Prober:
    """Asks a path again and again; ``samples`` are (when asked, status or None where cut off)."""

    def __init__(self, url: str, path: str = "/health") -> None:
        self._url, self._path = url, path
        self.samples: list[tuple[float, int | None]] = []
        self.seconds: list[float] = []
        self.is_over = False

    async def run(self) -> None:
        """Ask until cancelled, or ``is_over``: before Python 3.12 ``wait_for`` swallows a
        cancellation that comes in the very turn in which the call ends.
        """
        while not self.is_over:
            call = Call(self._url, self._path)
            asked_s = time.monotonic()
            try:
                await asyncio.wait_for(call.run(), PROBE_TIMEOUT_S)
                status = call.status if call.ending != "cut" else None
            except asyncio.TimeoutError:
                status = HUNG
            self.samples.append((asked_s, status))
            self.seconds.append(time.monotonic() - asked_s)
            await asyncio.sleep(PROBE_PERIOD_S)


@contextlib.asynccontextmanager
async def probing(url: str, path: str = "/health") -> AsyncIterator[Prober]:
    """Probe while the block runs."""
    prober = Prober(url, path)
    task = asyncio.ensure_future(prober.run())
    try:
        yield prober
    finally:
        prober.is_over = True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def get_json(url: str, path: str) -> Any:
    """The JSON of a GET that must succeed."""
    call = await Call(url, path).run()
    assert call.ending == "answered", f"GET {path}: {call.status} {call.last}"
    return call.last


async def wait_until_accepted(url: str, count: int, timeout_s: float = 60.0) -> None:
    """Return when the engines have ``count`` requests, running or waiting."""
    loads: list[dict[str, Any]] = []

    async def are_there() -> bool:
        nonlocal loads
        loads = (await get_json(url, "/v1/loads"))["loads"]
        return sum(each["num_running_reqs"] + each["num_waiting_reqs"] for each in loads) >= count

    assert await comes_true(are_there, timeout_s), f"not {count} requests: {loads}"


async def comes_true(condition: Callable[[], Awaitable[bool]], timeout_s: float) -> bool:
    """Whether ``condition`` becomes true in time."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if await condition():
            return True
        await asyncio.sleep(0.05)
    return False
