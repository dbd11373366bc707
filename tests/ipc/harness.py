"""An engine behind a real socket, in this process, and the two kinds of clients of it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sglite.ipc.client import InProcessClient
from sglite.ipc.engine_server import EngineServer
from sglite.ipc.frames import FrameReader, encode
from sglite.ipc.messages import PROTOCOL_VERSION, Control, FromEngine, Heartbeat, Ready, Reply
from sglite.ipc.operations import EngineSide
from sglite.ipc.private_directory import (
    listen_in,
    make_private_directory,
    remove_private_directory,
    socket_path,
)
from sglite.ipc.profiling import StepProfiler
from sglite.ipc.tree_digest import TreeDigest
from sglite.observability.events import EventStream
from sglite.request import OutputBatch, Request, RequestFinish, SamplingParams
from sglite.validation import RequestLimits
from tests.fakes import EOS, VOCAB
from tests.scheduler.harness import SchedulerDriver, prompts_with_output

WAIT_S = 20.0
PROMPTS = prompts_with_output(10, ends=False, count=12)
NUM_PAGES = 70_000
CONTEXT_LENGTH = NUM_PAGES * 16

T = TypeVar("T")


def wait_until(condition: Callable[[], Any]) -> None:
    """Fail if ``condition`` does not come true."""
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that must not take for ever."""
    return asyncio.run(asyncio.wait_for(work, WAIT_S))


def request(request_id: str, number: int = 0, max_new_tokens: int = 10) -> Request:
    return Request(
        request_id=request_id,
        prompt_token_ids=PROMPTS[number],
        eos_token_ids=frozenset({EOS}),
        max_new_tokens=max_new_tokens,
    )


def endless(request_id: str, number: int = 0) -> Request:
    """Ends only if somebody ends it."""
    return Request(
        request_id=request_id,
        prompt_token_ids=PROMPTS[number],
        sampling=SamplingParams(ignore_eos=True),
        max_new_tokens=1_000_000,
    )


class Served:
    """A server over the fake model. ``driver.engine`` is the engine; leave it with ``with``."""

    def __init__(
        self,
        *,
        is_ready: bool = True,
        publishes_digest: bool = False,
        limits: Any = None,
        **options: Any,
    ) -> None:
        self._publishes_digest = publishes_digest
        self._directory = make_private_directory()
        self.path = socket_path(self._directory)
        server_options = {
            name: options.pop(name)
            for name in ("heartbeat_s", "max_frame_bytes", "max_backlog_bytes", "clock_offset_s")
            if name in options
        }
        self.driver = SchedulerDriver.make(page_size=16, num_pages=NUM_PAGES, **options)
        self.driver.engine.check = False  # it looks at every page
        self.client = InProcessClient(self.driver.engine)
        self.server = EngineServer(listen_in(self._directory), **server_options)
        self.limits = limits or RequestLimits(
            context_length=CONTEXT_LENGTH,
            pool_tokens=CONTEXT_LENGTH,
            vocab_size=VOCAB,
            eos_token_ids=frozenset({EOS}),
        )
        self.server.start()
        if is_ready:
            self.become_ready()

    def become_ready(self) -> None:
        side = EngineSide(self.driver.engine, StepProfiler(EventStream()))
        digest = None
        if self._publishes_digest:
            digest = self.client.call(lambda engine: TreeDigest(engine.scheduler.cache))
        self.server.serve(self.client, self.limits, side, self.ready(), digest=digest)

    def ready(self, version: int = PROTOCOL_VERSION) -> Ready:
        return Ready(
            protocol_version=version,
            pid=1,
            config={"page_size": 16},
            context_length=CONTEXT_LENGTH,
            pool_tokens=CONTEXT_LENGTH,
            vocab_size=VOCAB,
            model_context_length=CONTEXT_LENGTH,
            eos_token_ids=[EOS],
            startup_s=0.1,
        )

    def stats(self) -> dict[str, int]:
        return self.client.call(lambda engine: engine.stats())

    def num_live(self) -> int:
        return self.client.call(lambda engine: len(engine.scheduler.live))

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()
        self.client.close()
        remove_private_directory(self._directory)
        assert not Path(self._directory).exists()
        names = {thread.name for thread in threading.enumerate()}
        assert not names & {"engine", "engine-io"}


class RawClient:
    """Writes what it likes, and reads messages; heartbeats are left out."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(path)
        self._reader = FrameReader()
        self._decoder = msgspec.msgpack.Decoder(FromEngine)
        self._messages: list[Any] = []
        self._num_calls = 0

    def send(self, message: Any) -> None:
        self.socket.sendall(encode(message))

    def send_frame(self, payload: bytes) -> None:
        self.socket.sendall(len(payload).to_bytes(4, "big") + payload)

    def next(self) -> Any:
        """The next message; None at the end of the stream."""
        while not self._messages:
            try:
                count = self.socket.recv_into(self._reader.space())
            except ConnectionResetError:
                return None
            if count == 0:
                return None
            found = [self._decoder.decode(frame) for frame in self._reader.frames(count)]
            self._messages += [one for one in found if not isinstance(one, Heartbeat)]
        return self._messages.pop(0)

    def next_of(self, kind: type[T]) -> T:
        """The next message of a kind; others are skipped."""
        while not isinstance(message := self.next(), kind):
            assert message is not None, "the stream ended"
        return message

    def call(self, name: str, **arguments: Any) -> Reply:
        self._num_calls += 1
        self.send(Control(self._num_calls, name, arguments))
        reply = self.next_of(Reply)
        assert reply.call_id == self._num_calls
        return reply

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


class Receiver:
    """Notes what it is told, in the event loop."""

    def __init__(self) -> None:
        self.batches: list[OutputBatch] = []
        self.tokens: dict[str, list[int]] = {}
        self.finishes: list[RequestFinish] = []
        self.refusals: list[tuple[str | None, Exception]] = []
        self._news = asyncio.Event()

    def deliver(self, batch: OutputBatch) -> None:
        self.batches.append(batch)
        for request_id, token in batch.tokens:
            self.tokens.setdefault(request_id, []).append(token)
        self.finishes += batch.finished
        self._news.set()

    def refuse(self, request_id: str | None, error: Exception) -> None:
        self.refusals.append((request_id, error))
        self._news.set()

    async def wait_until(self, condition: Callable[[], Any]) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()

    async def wait_for_ends(self, count: int) -> None:
        await self.wait_until(lambda: len(self.finishes) + len(self.refusals) >= count)
