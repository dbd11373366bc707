"""One engine as an API process sees it: a socket, served by the event loop.

    client = await ProcessClient.connect(path)      # client.ready follows, when the engine is
    client.submit(requests, receiver)               # receiver.deliver(batch), receiver.refuse(...)

The end of the stream is the engine's death: every receiver hears of it once. Nothing here, nor
below, imports torch or numpy.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from sglite.errors import EngineDeadError, NotReadyError, RequestError
from sglite.ipc.frames import BAD_FRAME_ERRORS, FrameReader, FrameTooLargeError, encode
from sglite.ipc.messages import (
    PROTOCOL_VERSION,
    Abort,
    Control,
    Digest,
    Fatal,
    FromEngine,
    Heartbeat,
    Note,
    Outputs,
    Ready,
    Refused,
    Reply,
    Submit,
)
from sglite.ipc.receivers import Receiver, Receivers
from sglite.request import Request

logger = logging.getLogger(__name__)

TURN_S = 0.002
"""Seconds that messages of the engine are acted on before the calls get a turn to write."""
MAX_SUBMITTED_TOKENS = 1_000_000
"""Prompt tokens of one Submit, where it has several requests: a frame stays far from its limit."""


class ProcessClient:
    """Speaks with the engine's process. Belongs to the event loop that connected it.

    ``ready`` is what the engine is, None while it loads. ``heartbeat`` is its last sign of life.
    ``died`` is done, with the reason, once the engine has gone. ``on_note`` hears what API
    processes say to each other, ``on_digest`` what the engine has cached, if it publishes that.
    """

    heals = False
    waiting_count = 0

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.ready: Ready | None = None
        self.heartbeat: Heartbeat | None = None
        self.died: asyncio.Future[str] = self._loop.create_future()
        self.num_dropped_frames = 0
        self.on_note: Callable[[Note], None] | None = None
        self.on_digest: Callable[[Digest], None] | None = None
        self._became_ready = asyncio.Event()
        self._heard_s = self._loop.time()
        self._last_words: str | None = None
        self._receivers = Receivers(self.abort)
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._call_ids = itertools.count()
        self._transport: asyncio.WriteTransport | None = None
        self._decoder = msgspec.msgpack.Decoder(FromEngine)
        self.on_join: list[Callable[[int], None]] = []

    @classmethod
    async def connect(cls, path: str) -> ProcessClient:
        """Connect to the engine that listens at ``path``. Raises EngineDeadError."""
        client = cls()
        try:
            transport, _ = await client._loop.create_unix_connection(lambda: _Wire(client), path)
        except OSError as error:
            raise EngineDeadError(f"no engine answers at its socket: {error}") from error
        client._transport = transport
        return client

    # -- state -------------------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """False once the engine has gone."""
        return not self.died.done()

    @property
    def open_count(self) -> int:
        """Requests that have not ended."""
        return len(self._receivers)

    @property
    def engines(self) -> Mapping[int, ProcessClient]:
        """This engine, as number 0; see :class:`~sglite.ipc.engine_link.EngineLink`."""
        return {0: self}

    @property
    def heartbeat_age_s(self) -> float:
        """Seconds since the engine's loop last turned, as far as is known; 0.0 while it loads."""
        if self.ready is None:
            return 0.0
        loop_age_s = 0.0 if self.heartbeat is None else self.heartbeat.loop_age_s
        return self._loop.time() - self._heard_s + loop_age_s

    def on_death(self, callback: Callable[[str], None]) -> None:
        """Call ``callback`` with the reason, in the event loop, once the engine has gone."""
        self.died.add_done_callback(lambda died: callback(died.result()))

    async def wait_ready(self) -> Ready:
        """What the engine is, once it is. Raises EngineDeadError where it ends before."""
        while self.ready is None:
            self._check_alive()
            await self._became_ready.wait()
        return self.ready

    # -- asking ------------------------------------------------------------------------------------

    def submit(self, requests: list[Request], receiver: Receiver) -> None:
        """Send requests. Each ends in one terminal event, given to ``receiver`` in the event loop.

        Raises NotReadyError while the engine loads, EngineDeadError when it has gone.
        """
        self._check_alive()
        if self.ready is None:
            raise NotReadyError("the model is being loaded; try again in a moment")
        frames = [encode(Submit(part)) for part in _portions(requests)]
        self._receivers.add([request.request_id for request in requests], receiver)
        for frame in frames:
            self._write(frame)

    def abort(self, request_ids: list[str]) -> None:
        """End these requests, whose terminal events still come; unknown ids are ignored."""
        known = [request_id for request_id in request_ids if request_id in self._receivers]
        if known and self.is_alive:
            self._write(encode(Abort(known)))

    async def control(self, name: str, **arguments: Any) -> Any:
        """The result of one of the engine's operations (``sglite.ipc.operations``).

        Raises RequestError where the engine refuses, NotReadyError while it loads,
        EngineDeadError where it has gone or goes, RuntimeError for a fault of the operation.
        """
        self._check_alive()
        if self.ready is None:
            raise NotReadyError("the model is being loaded; try again in a moment")
        call_id, answer = next(self._call_ids), self._loop.create_future()
        frame = encode(Control(call_id, name, arguments))
        self._calls[call_id] = answer
        try:
            self._write(frame)
            return await answer
        finally:
            self._calls.pop(call_id, None)

    def send_note(self, note: Note) -> None:
        """Say something to every API process. Raises EngineDeadError."""
        self._check_alive()
        self._write(encode(note))

    def close(self) -> None:
        """Leave: requests still open fail. The engine aborts them."""
        self.declare_dead("the connection to the engine was closed")

    def declare_dead(self, reason: str) -> None:
        """Fail everything that is open and disconnect; the first reason counts."""
        if self.died.done():
            return
        self.died.set_result(reason)
        self._became_ready.set()
        if self._transport is not None:
            self._transport.abort()
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(EngineDeadError(reason))
        self._receivers.fail(EngineDeadError(reason))

    def _check_alive(self) -> None:
        if self.died.done():
            raise EngineDeadError(self.died.result())

    def _write(self, frame: bytearray) -> None:
        if self._transport is not None:
            self._transport.write(frame)

    # -- hearing -----------------------------------------------------------------------------------

    def take_frame(self, frame: memoryview) -> None:
        """Act on a message; one that is none is dropped and counted."""
        try:
            message: FromEngine = self._decoder.decode(frame)
        except BAD_FRAME_ERRORS as error:
            self.num_dropped_frames += 1
            fields = {"count": self.num_dropped_frames, "cause": f"{error!s:.200}"}
            logger.error("ipc_frame_dropped", extra={"fields": fields})
            return
        if isinstance(message, Outputs):
            self._receivers.deliver(message.batch)
        elif isinstance(message, Heartbeat):
            self.heartbeat = message
            self._heard_s = self._loop.time()
        elif isinstance(message, Refused):
            self._receivers.refuse(message.request_id, message.to_error())
        elif isinstance(message, Reply):
            self._settle(message)
        elif isinstance(message, Note):
            if self.on_note is not None:
                self.on_note(message)
        elif isinstance(message, Digest):
            if self.on_digest is not None:
                self.on_digest(message)
        else:
            self._take_state(message)

    def take_end(self, reason: str) -> None:
        """The stream has ended; what the engine said last explains it best."""
        self.declare_dead(self._last_words or reason)

    def _settle(self, reply: Reply) -> None:
        answer = self._calls.get(reply.call_id)
        if answer is None or answer.done():
            return  # nobody waits any more
        if reply.error is None:
            answer.set_result(reply.result)
        elif reply.is_fault:
            answer.set_exception(RuntimeError(reply.error))
        else:
            answer.set_exception(RequestError(reply.error))

    def _take_state(self, message: Ready | Fatal) -> None:
        if isinstance(message, Fatal):
            self._last_words = message.message
            self.declare_dead(message.message)
        elif message.protocol_version != PROTOCOL_VERSION:
            self.declare_dead(
                f"the engine speaks protocol {message.protocol_version}, this process "
                f"{PROTOCOL_VERSION}; both must be of one version of sglite"
            )
        else:
            self.ready = message
            self._heard_s = self._loop.time()
            self._became_ready.set()


class _FrameTaker(Protocol):
    def take_frame(self, frame: memoryview) -> None: ...

    def take_end(self, reason: str) -> None: ...


class _Wire(asyncio.BufferedProtocol):
    """Lets the event loop read straight into the frame reader's buffer.

    When the engine is faster than this process, what has come is acted on for ``TURN_S`` at a time:
    between two turns the calls write what they got, so that all streams go on evenly.
    """

    def __init__(self, taker: _FrameTaker) -> None:
        self._taker = taker
        self._reader = FrameReader()
        self._frames: Iterator[memoryview] = iter(())
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.ReadTransport | None = None
        self._is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.ReadTransport):
            self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.space()

    def buffer_updated(self, nbytes: int) -> None:
        self._frames = self._reader.frames(nbytes)
        self._take_turn()

    def _take_turn(self) -> None:
        ends_s = self._loop.time() + TURN_S
        try:
            for frame in self._frames:
                self._taker.take_frame(frame)
                if self._loop.time() >= ends_s:
                    self._pause()
                    return
        except FrameTooLargeError as error:
            self._taker.take_end(f"the engine sent {error}")
        self._go_on()

    def _pause(self) -> None:
        """Let the calls write; then comes the next turn."""
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        self._loop.call_soon(self._take_turn)

    def _go_on(self) -> None:
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        cause = f": {exc}" if exc else ""
        self._taker.take_end(f"the engine's process has ended{cause}")


def _portions(requests: list[Request]) -> Iterator[list[Request]]:
    """``requests`` in parts that fit a frame."""
    part: list[Request] = []
    num_tokens = 0
    for request in requests:
        if part and num_tokens + len(request.prompt_token_ids) > MAX_SUBMITTED_TOKENS:
            yield part
            part, num_tokens = [], 0
        part.append(request)
        num_tokens += len(request.prompt_token_ids)
    if part:
        yield part
