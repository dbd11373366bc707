"""Processes of our own: started without a window for Ctrl-C, and gone when we are.

    child = await Child.start("sglite.server.render_process")
    child.send(message)
    frame = await child.receive()
    await child.kill()

A child shares one socket with us, its standard input; the end of that stream is our end, and it
leaves. Frames are those of ``ipc.frames``.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from io import RawIOBase
from typing import Any, BinaryIO

from sglite.ipc.frames import HEADER_BYTES, encode

STDIN_FD = 0


def spawn(module: str, *, stdin: int, pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """``python -m module``, with Ctrl-C and SIGTERM blocked from its very first moment.

    It inherits our mask; only the parent decides when it ends. What a library prints goes to
    standard error, where the log is. Raises OSError.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        return subprocess.Popen(
            [sys.executable, "-m", module], stdin=stdin, stdout=2, pass_fds=tuple(pass_fds)
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class Child:
    """A process and the socket that we share with it. Belongs to one event loop."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, module: str, *, pass_fds: Sequence[int] = ()) -> Child:
        """Start ``python -m module``. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = spawn(module, stdin=theirs.fileno(), pass_fds=pass_fds)
            except OSError:
                ours.close()
                raise
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal; None while it runs."""
        return self._process.poll()

    def send(self, message: Any) -> None:
        """Send a message, without waiting. One that has ended does not get it."""
        self._writer.write(encode(message))

    async def receive(self) -> bytes:
        """Its next frame. Raises EOFError where it has ended."""
        try:
            header = await self._reader.readexactly(HEADER_BYTES)
            return await self._reader.readexactly(int.from_bytes(header, "big"))
        except (asyncio.IncompleteReadError, OSError) as error:
            raise EOFError("the process has ended") from error

    async def wait(self, timeout_s: float) -> int | None:
        """Its exit code; None where it still runs after ``timeout_s``."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return await asyncio.to_thread(self._process.wait, timeout_s)
        return None

    async def kill(self) -> int:
        """End it now; its exit code. Safe to repeat."""
        self._process.kill()
        self._writer.close()
        return await asyncio.to_thread(self._process.wait)


def parents_socket() -> socket.socket:
    """In a child: the socket that is shared with the parent."""
    return socket.socket(fileno=STDIN_FD)


def read_frames(stream: RawIOBase | BinaryIO) -> Iterator[bytes]:
    """In a child: the frames that the parent sends, until it is gone.

    From an unbuffered stream nothing is read beyond the frame that is given.
    """
    while len(header := _read(stream, HEADER_BYTES)) == HEADER_BYTES:
        yield _read(stream, int.from_bytes(header, "big"))


def _read(stream: RawIOBase | BinaryIO, num_bytes: int) -> bytes:
    """So many bytes; fewer at the end of the stream."""
    parts: list[bytes] = []
    while num_bytes and (part := stream.read(num_bytes)):
        parts.append(part)
        num_bytes -= len(part)
    return b"".join(parts)
