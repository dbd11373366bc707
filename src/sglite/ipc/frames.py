"""Messages as bytes: four bytes of length, big end first, then msgpack.

A reader owns one buffer that the socket fills in place; frames are views into it, valid until the
next :meth:`FrameReader.space`. How far a claimed length can go is a limit, and memory is taken as
bytes arrive, not as they are promised.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

HEADER_BYTES = 4
MAX_FRAME_BYTES = 64 * 1024 * 1024
SMALL_BUFFER_BYTES = 64 * 1024
"""Size of a buffer at rest; one that grew for a large frame shrinks again."""
SPACE_BYTES = 4 * 1024
"""Least room offered to the socket."""

BAD_FRAME_ERRORS = (ValueError, RecursionError)
"""What decoding a frame may raise: msgspec's errors, text that is no UTF-8, too deep a nesting."""

_encoder = msgspec.msgpack.Encoder()


class FrameTooLargeError(Exception):
    """A frame is, or claims to be, larger than the limit. Its connection cannot go on."""


def encode(message: Any, *, limit: int = MAX_FRAME_BYTES) -> bytearray:
    """``message`` as one frame. Raises FrameTooLargeError."""
    frame = bytearray(HEADER_BYTES)
    _encoder.encode_into(message, frame, HEADER_BYTES)
    size = len(frame) - HEADER_BYTES
    if size > limit:
        raise FrameTooLargeError(f"a {type(message).__name__} of {size:,} bytes; limit {limit:,}")
    frame[:HEADER_BYTES] = size.to_bytes(HEADER_BYTES, "big")
    return frame


class FrameReader:
    """Cuts a stream of bytes into frames.

    Use it in turns: :meth:`space`, let the socket write there, then exhaust :meth:`frames`.
    """

    def __init__(self, *, limit: int = MAX_FRAME_BYTES) -> None:
        self._limit = limit
        self._buffer = bytearray(SMALL_BUFFER_BYTES)
        self._start = 0
        self._end = 0

    @property
    def num_held_bytes(self) -> int:
        """Bytes of a frame that is not complete."""
        return self._end - self._start

    def space(self) -> memoryview:
        """Where the next bytes go; never empty. Earlier frames are no longer valid."""
        if self._start == self._end:
            self._start = self._end = 0
            if len(self._buffer) > SMALL_BUFFER_BYTES:
                self._buffer = bytearray(SMALL_BUFFER_BYTES)
        if len(self._buffer) - self._end < SPACE_BYTES:
            self._make_room()
        return memoryview(self._buffer)[self._end :]

    def frames(self, num_received: int) -> Iterator[memoryview]:
        """The frames that ``num_received`` new bytes complete. Raises FrameTooLargeError."""
        self._end += num_received
        view = memoryview(self._buffer)
        while (size := self._next_size()) is not None:
            first = self._start + HEADER_BYTES
            if self._end - first < size:
                return
            self._start = first + size
            yield view[first : self._start]

    def _next_size(self) -> int | None:
        if self._end - self._start < HEADER_BYTES:
            return None
        header = self._buffer[self._start : self._start + HEADER_BYTES]
        size = int.from_bytes(header, "big")
        if size > self._limit:
            raise FrameTooLargeError(f"a frame of {size:,} bytes; limit {self._limit:,}")
        return size

    def _make_room(self) -> None:
        """Move what is held to the front of a buffer that has room.

        Always a new one: views of the old may still be in somebody's hands.
        """
        held = self.num_held_bytes
        size = SMALL_BUFFER_BYTES if held * 2 <= SMALL_BUFFER_BYTES else held * 2
        buffer = bytearray(min(size, HEADER_BYTES + self._limit + SPACE_BYTES))
        buffer[:held] = memoryview(self._buffer)[self._start : self._end]
        self._buffer, self._start, self._end = buffer, 0, held
