"""One connection of the engine's process to an API process, seen from the engine.

Outputs are sent by the thread that has them, without a queue in between, as long as the socket
takes them; the rest waits in a bounded backlog that the IO thread flushes.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from sglite.ipc.frames import MAX_FRAME_BYTES, FrameReader, FrameTooLargeError, encode
from sglite.ipc.messages import Outputs, Refused
from sglite.request import OutputBatch

logger = logging.getLogger(__name__)


class Connection:
    """A socket, what has been read of the next frame, and what waits to be written.

    ``notify`` is called, in any thread, when the IO thread has to look: there is a backlog, or
    the connection :attr:`is_over`. ``request_ids`` are the requests that would be orphaned.
    """

    def __init__(
        self,
        sock: socket.socket,
        notify: Callable[[Connection], None],
        *,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        max_backlog_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.reader = FrameReader(limit=max_frame_bytes)
        self._notify = notify
        self._max_frame_bytes = max_frame_bytes
        self._max_backlog_bytes = max_backlog_bytes
        self._lock = threading.Lock()
        self._request_ids: set[str] = set()
        self._backlog: deque[memoryview] = deque()
        self._num_backlog_bytes = 0
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """True once nothing can be sent any more."""
        return self._is_over

    @property
    def has_backlog(self) -> bool:
        """True while something waits for the socket."""
        return bool(self._backlog)

    # -- requests ----------------------------------------------------------------------------------

    def try_open(self, request_id: str) -> bool:
        """Note a request as this connection's; False where it is already."""
        with self._lock:
            is_new = request_id not in self._request_ids
            self._request_ids.add(request_id)
        return is_new

    def own(self, request_ids: list[str]) -> list[str]:
        """Those of ``request_ids`` that are open on this connection."""
        with self._lock:
            return [request_id for request_id in request_ids if request_id in self._request_ids]

    def take_requests(self) -> list[str]:
        """The requests that are open; they are no longer this connection's."""
        with self._lock:
            request_ids = list(self._request_ids)
            self._request_ids.clear()
        return request_ids

    def deliver(self, batch: OutputBatch) -> None:
        """Send outputs. Called in the engine's thread; never blocks."""
        if batch.finished:
            with self._lock:
                self._request_ids.difference_update(end.request_id for end in batch.finished)
        self.send(Outputs(batch))

    def refuse(self, request_id: str | None, error: Exception) -> None:
        """Send a refusal. The engine's own end (None) is told by whoever ends the process."""
        if request_id is None:
            return
        with self._lock:
            self._request_ids.discard(request_id)
        self.send(Refused.of(request_id, error))

    # -- bytes -------------------------------------------------------------------------------------

    def send(self, message: Any) -> None:
        """Send ``message`` as far as the socket takes it now; keep the rest. From any thread."""
        try:
            frame = memoryview(encode(message, limit=self._max_frame_bytes))
        except FrameTooLargeError as error:
            self._give_up(str(error))
            return
        with self._lock:
            if self._is_over:
                return
            was_behind = self.has_backlog
            rest = frame if was_behind else self._write(frame)
            if rest:
                self._backlog.append(rest)
                self._num_backlog_bytes += len(rest)
        if self._num_backlog_bytes > self._max_backlog_bytes:
            self._give_up(f"its reader is {self._num_backlog_bytes:,} bytes behind")
        elif rest and not was_behind:
            self._notify(self)

    def flush(self) -> None:
        """Send of the backlog what the socket takes. Called in the IO thread."""
        with self._lock:
            while self._backlog and not self._is_over:
                frame = self._backlog[0]
                rest = self._write(frame)
                self._num_backlog_bytes -= len(frame) - len(rest)
                if rest:
                    self._backlog[0] = rest
                    return
                self._backlog.popleft()

    def close(self) -> None:
        """Close the socket and drop the backlog; later sends do nothing."""
        with self._lock:
            self._is_over = True
            self._backlog.clear()
            self._num_backlog_bytes = 0
            self.socket.close()

    def _write(self, frame: memoryview) -> memoryview:
        """What the socket did not take."""
        try:
            return frame[self.socket.send(frame) :]
        except (BlockingIOError, InterruptedError):
            return frame
        except OSError:  # the other side has gone; the IO thread settles it
            self._is_over = True
            return frame

    def _give_up(self, reason: str) -> None:
        logger.error("ipc_connection_given_up", extra={"fields": {"reason": reason}})
        self._is_over = True
        self._notify(self)
