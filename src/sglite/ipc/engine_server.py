"""The engine's side of the socket: API processes connect, ask, and get their outputs.

    IO thread        accepts, reads and decodes frames, sends heartbeats, flushes backlogs
    engine thread    sends its outputs itself, through ``Connection.deliver``

A frame that is no message is dropped and counted (R2). A connection that closes, or that does not
read what it asked for, loses its requests; others do not notice.
"""

from __future__ import annotations

import dataclasses
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from sglite.errors import CapacityError, EngineDeadError, RequestError
from sglite.ipc.client import InProcessClient
from sglite.ipc.connection import Connection
from sglite.ipc.control_calls import ControlCalls
from sglite.ipc.frames import BAD_FRAME_ERRORS, MAX_FRAME_BYTES, FrameTooLargeError
from sglite.ipc.messages import (
    Abort,
    Control,
    Fatal,
    Heartbeat,
    Note,
    Ready,
    Refused,
    Submit,
    ToEngine,
)
from sglite.ipc.operations import EngineSide
from sglite.ipc.request_check import check_request
from sglite.ipc.tree_digest import TreeDigest
from sglite.request import Request
from sglite.validation import RequestLimits

logger = logging.getLogger(__name__)

HEARTBEAT_S = 0.5
ACCEPT_PAUSE_S = 0.1
DIGEST_S = 0.1
"""How long changes of the cache are collected before they are told."""
FLUSH_S = 2.0
"""How long what is unsent may take when the server closes."""


class EngineServer:
    """Serves an engine on ``listener``, a listening socket that it owns from now on.

    It answers from :meth:`start`; until :meth:`serve` gives it an engine, requests are refused.
    ``num_dropped_frames`` counts what was no message, or no request that the engine can run.
    ``clock_offset_s`` is added to deadlines, which are on the clock of whoever sends them.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        heartbeat_s: float = HEARTBEAT_S,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        max_backlog_bytes: int = MAX_FRAME_BYTES,
        clock_offset_s: float = 0.0,
    ) -> None:
        self.num_dropped_frames = 0
        self._listener = listener
        self._listener.setblocking(False)
        self._limits = {"max_frame_bytes": max_frame_bytes, "max_backlog_bytes": max_backlog_bytes}
        self._heartbeat_s = heartbeat_s
        self._clock_offset_s = clock_offset_s
        self._decoder = msgspec.msgpack.Decoder(ToEngine)
        self._connections: set[Connection] = set()
        self._commands: deque[Callable[[], None]] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._engine: tuple[InProcessClient, RequestLimits, ControlCalls] | None = None
        self._greeting: Ready | Fatal | None = None
        self._digest: TreeDigest | None = None
        self._digest_due_s: float | None = None
        self._next_beat_s = 0.0
        self._close_by_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="engine-io", daemon=True)

    # -- called by the process's main thread -------------------------------------------------------

    def start(self) -> None:
        """Answer from now on."""
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake_in, selectors.EVENT_READ, self._read_wakeups)
        self._thread.start()

    def serve(
        self,
        client: InProcessClient,
        limits: RequestLimits,
        side: EngineSide,
        ready: Ready,
        *,
        digest: TreeDigest | None = None,
    ) -> None:
        """The engine is there: tell everybody, and take requests within ``limits``.

        With a ``digest`` everybody also hears what is cached: all of it after the greeting, then
        what changes.
        """

        def begin() -> None:
            self._engine = client, limits, ControlCalls(client, side, self._command)
            self._digest = digest
            if digest is not None:
                digest.on_change = lambda: self._command(self._expect_digest)
                self._expect_digest()  # there may be changes already, of which nobody was told
            self._greet_all(ready)

        self._command(begin)

    def fail(self, message: str) -> None:
        """Tell everybody, also those who are about to connect, that the engine ends."""

        def tell() -> None:
            self._accept()
            self._greet_all(Fatal(message))

        self._command(tell)

    def close(self) -> None:
        """Send what is unsent, but not for long, and close all connections. Safe to call twice."""
        self._command(self._begin_closing)
        self._thread.join()

    def _begin_closing(self) -> None:
        self._close_by_s = time.monotonic() + FLUSH_S

    def _command(self, command: Callable[[], None]) -> None:
        """Run ``command`` in the IO thread. From any thread."""
        self._commands.append(command)
        try:
            self._wake_out.send(b"\0")
        except OSError:  # full of wake-ups, or closed: nobody has to be woken
            return

    # -- the IO thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._is_done():
                for key, mask in self._selector.select(self._timeout_s()):
                    key.data(mask)
                while self._commands:
                    self._commands.popleft()()
                self._do_what_is_due()
        finally:
            # Also where the loop fails: the other side sees the end of the stream, which is death.
            for connection in list(self._connections):
                self._drop(connection)
            for sock in (self._listener, self._wake_in, self._wake_out):
                sock.close()
            self._selector.close()

    def _is_done(self) -> bool:
        if self._close_by_s is None:
            return False
        has_backlog = any(connection.has_backlog for connection in self._connections)
        return not has_backlog or time.monotonic() > self._close_by_s

    def _timeout_s(self) -> float:
        wait_s = self._next_beat_s - time.monotonic()
        if self._engine is not None:
            wait_s = min(wait_s, self._engine[2].next_due_s())
        if self._digest_due_s is not None:
            wait_s = min(wait_s, self._digest_due_s - time.monotonic())
        return max(0.0, wait_s)

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if now >= self._next_beat_s:
            self._next_beat_s = now + self._heartbeat_s
            self._beat()
        if self._digest_due_s is not None and now >= self._digest_due_s:
            self._digest_due_s = None
            self._tell_changes()
        if self._engine is not None:
            self._engine[2].try_again()

    def _expect_digest(self) -> None:
        if self._digest_due_s is None:
            self._digest_due_s = time.monotonic() + DIGEST_S

    def _tell_changes(self) -> None:
        messages = [] if self._digest is None else self._digest.changes()
        for message in messages:
            for connection in list(self._connections):
                connection.send(message)

    def _beat(self) -> None:
        if self._engine is None:
            return
        client = self._engine[0]
        beat = Heartbeat(client.loop_age_s, *client.load)
        for connection in list(self._connections):
            connection.send(beat)

    def _read_wakeups(self, mask: int) -> None:
        try:
            while self._wake_in.recv(4096):
                continue
        except BlockingIOError:
            return

    # -- connections -------------------------------------------------------------------------------

    def _accept(self, mask: int = 0) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # no file descriptor is free
                logger.error("ipc_accept_failed", extra={"fields": {"cause": str(error)}})
                time.sleep(ACCEPT_PAUSE_S)
                return
            connection = Connection(sock, self._look_at, **self._limits)
            self._connections.add(connection)
            self._watch(connection, selectors.EVENT_READ, is_new=True)
            self._greet(connection)

    def _greet_all(self, greeting: Ready | Fatal) -> None:
        self._greeting = greeting
        for connection in list(self._connections):
            self._greet(connection)

    def _greet(self, connection: Connection) -> None:
        if self._greeting is None:
            return
        connection.send(self._greeting)
        if self._digest is not None and isinstance(self._greeting, Ready):
            for message in self._digest.whole():
                connection.send(message)

    def _look_at(self, connection: Connection) -> None:
        """A connection has a backlog or is over. Called in any thread."""
        self._command(lambda: self._tend(connection))

    def _tend(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        connection.flush()
        if connection.is_over:
            self._drop(connection)
            return
        writes = selectors.EVENT_WRITE if connection.has_backlog else 0
        self._watch(connection, selectors.EVENT_READ | writes)

    def _watch(self, connection: Connection, events: int, *, is_new: bool = False) -> None:
        change = self._selector.register if is_new else self._selector.modify
        change(connection.socket, events, lambda mask: self._exchange(connection, mask))

    def _exchange(self, connection: Connection, mask: int) -> None:
        if mask & selectors.EVENT_READ:
            self._receive(connection)
        if mask & selectors.EVENT_WRITE:
            self._tend(connection)

    def _receive(self, connection: Connection) -> None:
        try:
            num_received = connection.socket.recv_into(connection.reader.space())
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            num_received = 0
        if num_received == 0:
            self._drop(connection)
            return
        try:
            for frame in connection.reader.frames(num_received):
                self._take_frame(connection, frame)
        except FrameTooLargeError as error:
            self._count_dropped(error)
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        """Forget a connection; what it asked for is aborted."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._selector.unregister(connection.socket)
        connection.close()
        orphans = connection.take_requests()
        if orphans and self._engine is not None:
            self._engine[0].abort(orphans)

    # -- messages ----------------------------------------------------------------------------------

    def _take_frame(self, connection: Connection, frame: memoryview) -> None:
        try:
            message: ToEngine = self._decoder.decode(frame)
        except BAD_FRAME_ERRORS as error:
            self._count_dropped(error)
            return
        if isinstance(message, Submit):
            self._submit(connection, message.requests)
        elif isinstance(message, Note):
            self._pass_on(message)
        elif self._engine is None:
            self._count_dropped(EngineDeadError(f"a {type(message).__name__} before the engine"))
        elif isinstance(message, Abort):
            self._engine[0].abort(connection.own(message.request_ids))
        else:
            self._control(connection, message)

    def _pass_on(self, note: Note) -> None:
        """To everybody. What could just be read may be nested too deeply to be written."""
        try:
            for connection in list(self._connections):
                connection.send(note)
        except BAD_FRAME_ERRORS as error:
            self._count_dropped(error)

    def _submit(self, connection: Connection, requests: list[Request]) -> None:
        if self._engine is None:
            for request in requests:
                connection.send(Refused(request.request_id, "the engine is loading", 1.0))
            return
        client, limits, _ = self._engine
        requests = [self._on_our_clock(request) for request in requests]
        sound = [request for request in requests if self._is_sound(connection, request, limits)]
        try:
            client.submit(sound, connection.deliver, connection.refuse)
        except EngineDeadError:
            return  # Fatal, or the end of the stream, is on its way to everybody

    def _on_our_clock(self, request: Request) -> Request:
        if request.deadline_s is None or not self._clock_offset_s:
            return request
        return dataclasses.replace(request, deadline_s=request.deadline_s + self._clock_offset_s)

    def _is_sound(self, connection: Connection, request: Request, limits: RequestLimits) -> bool:
        if not connection.try_open(request.request_id):
            self._count_dropped(RequestError("a request id is in use"))
            return False
        try:
            check_request(request, limits)
        except RequestError as error:
            self._count_dropped(error)
            connection.refuse(request.request_id, CapacityError(str(error)))
            return False
        return True

    def _control(self, connection: Connection, message: Control) -> None:
        if self._engine is not None:
            self._engine[2].begin(connection, message)

    def _count_dropped(self, cause: Any) -> None:
        """Count, and log the 1st, 2nd, 4th, 8th ...: a flood of them must not fill the disk."""
        self.num_dropped_frames += 1
        count = self.num_dropped_frames
        if count & (count - 1) == 0:
            fields = {"count": count, "cause": f"{cause!s:.200}"}
            logger.warning("ipc_frame_dropped", extra={"fields": fields})
