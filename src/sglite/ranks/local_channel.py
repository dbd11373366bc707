"""Plans to the ranks of one machine: a ring in shared memory, and a bell at each one's door.

    sender = LocalSender(num_readers, timeout_s=30)
    spawn(..., pass_fds=sender.fds_of(reader))       # and close_inherited() when all are started
    receiver = LocalReceiver(*fds, index, num_readers)

Nothing has a name, and nobody spins: a reader sleeps at its bell, a pipe, whose end of stream tells
that the leader is dead.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque

from sglite.errors import RankLostError
from sglite.ranks.ring import RingReader, RingWriter, make_memory

RING_BYTES = 4 * 1024 * 1024
BELL = b"\1"
MAX_BELLS = 4096
PAUSE_S = 0.0005
"""How long the writer sleeps where a reader has no room; that is rare."""


class LocalSender:
    """Writes to ``num_readers``; waits at most ``timeout_s`` for the slowest."""

    def __init__(self, num_readers: int, *, timeout_s: float, ring_bytes: int = RING_BYTES) -> None:
        self._timeout_s = timeout_s
        self._memory_fd: int | None = make_memory(num_readers, ring_bytes)
        self._ring = RingWriter(self._memory_fd, num_readers)
        self._doors: list[int] = []
        self._bells: list[int] = []
        for _ in range(num_readers):
            door, bell = os.pipe()
            os.set_blocking(bell, False)
            self._doors.append(door)
            self._bells.append(bell)
        self._is_closed = False

    def fds_of(self, reader: int) -> tuple[int, int]:
        """The memory and the reader's door: what its process inherits."""
        assert self._memory_fd is not None, "the readers have been started"
        return self._memory_fd, self._doors[reader]

    def close_inherited(self) -> None:
        """Close our copies of what the readers have by now. Safe to repeat."""
        for fd in (*self._doors, *([] if self._memory_fd is None else [self._memory_fd])):
            os.close(fd)
        self._doors.clear()
        self._memory_fd = None

    def send(self, payload: bytes) -> None:
        """Write one message. RankLostError where a reader has no room for too long."""
        part = self._ring.frame(payload)
        deadline_s = time.monotonic() + self._timeout_s
        while part:
            count = self._ring.try_write(part)
            part = part[count:]
            if count:
                self._ring_bells()
            elif time.monotonic() > deadline_s:
                raise RankLostError(
                    f"local rank {self._ring.slowest() + 1} has not taken a plan for "
                    f"{self._timeout_s:g} s (dist_timeout_s)"
                )
            else:
                time.sleep(PAUSE_S)

    def _ring_bells(self) -> None:
        for bell in self._bells:
            # Full of bells that were not heard, or nobody is there: whoever watches will tell.
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(bell, BELL)

    def close(self) -> None:
        """The readers see the end. Safe to repeat."""
        if self._is_closed:
            return
        self._is_closed = True
        self.close_inherited()
        for bell in self._bells:
            os.close(bell)
        self._ring.close()


class LocalReceiver:
    """Reader ``index`` of ``num_readers``; owns the two descriptors."""

    def __init__(self, memory_fd: int, door: int, index: int, num_readers: int) -> None:
        self._ring = RingReader(memory_fd, index, num_readers)
        os.close(memory_fd)
        self._door = door
        self._ready: deque[bytes] = deque()

    def receive(self) -> bytes:
        """The next message. EOFError where the leader is gone."""
        while not self._ready:
            if not os.read(self._door, MAX_BELLS):
                raise EOFError("the leader is gone")
            self._ready.extend(self._ring.frames())
        return self._ready.popleft()

    def close(self) -> None:
        """Give up memory and door."""
        os.close(self._door)
        self._ring.close()
