"""Frames from one writer to several readers, through memory that they share.

    | bytes | what |
    |---|---|
    | 0:8 | how many bytes were ever written |
    | 64 * (1 + i) : +8 | how many of them reader i has taken |
    | from 64 * (1 + readers) on | the ring |

A frame is eight bytes, its length and the checksum of everything written up to its end, and what
it carries; in the ring it may go round the corner, or be written in several parts where it is
larger than what is free. Nobody waits in here: who rings at whose door is the channel's matter, and
its system calls order the memory. The numbers are aligned words, which are stored at once.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Iterator

from sglite.errors import RankLostError

LINE = 64
HEADER_BYTES = 8
MAX_FRAME_BYTES = 64 * 1024 * 1024


def make_memory(num_readers: int, num_bytes: int) -> int:
    """A descriptor of memory without a name for ``num_readers`` and a ring of ``num_bytes``."""
    fd = os.memfd_create("sglite-plans", os.MFD_CLOEXEC) if _HAS_MEMFD else _unlinked_file()
    os.truncate(fd, LINE * (1 + num_readers) + num_bytes)
    return fd


_HAS_MEMFD = hasattr(os, "memfd_create")


def _unlinked_file() -> int:
    import tempfile

    fd, path = tempfile.mkstemp(prefix="sglite-plans-")
    os.unlink(path)
    return fd


class _Ring:
    """The shared memory, as words and bytes."""

    def __init__(self, fd: int, num_readers: int) -> None:
        self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        view = memoryview(self._map)
        start = LINE * (1 + num_readers)
        self.words = view[:start].cast("Q")
        self.data = view[start:]
        self.size = len(self.data)
        view.release()

    def close(self) -> None:
        self.words.release()
        self.data.release()
        self._map.close()


_WORDS_PER_LINE = LINE // 8


class RingWriter:
    """Writes frames for ``num_readers``."""

    def __init__(self, fd: int, num_readers: int) -> None:
        self._ring = _Ring(fd, num_readers)
        self._readers = [_WORDS_PER_LINE * (1 + i) for i in range(num_readers)]
        self._written = 0
        self._checksum = 0

    def frame(self, payload: bytes) -> memoryview:
        """``payload`` as the frame that comes next; exhaust it with :meth:`try_write`."""
        if len(payload) > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {len(payload):,} bytes; limit {MAX_FRAME_BYTES:,}")
        size = len(payload).to_bytes(4, "little")
        self._checksum = zlib.crc32(payload, zlib.crc32(size, self._checksum))
        return memoryview(size + self._checksum.to_bytes(4, "little") + payload)

    def try_write(self, part: memoryview) -> int:
        """Write as much of ``part`` as all readers have room for; how many bytes that was."""
        ring = self._ring
        count = min(len(part), ring.size - self.num_unread)
        if not count:
            return 0
        at = self._written % ring.size
        before_corner = min(count, ring.size - at)
        ring.data[at : at + before_corner] = part[:before_corner]
        ring.data[: count - before_corner] = part[before_corner:count]
        self._written += count
        ring.words[0] = self._written
        return count

    @property
    def num_unread(self) -> int:
        """Bytes that the slowest reader has before it."""
        return max((self._written - self._ring.words[at] for at in self._readers), default=0)

    def slowest(self) -> int:
        """The reader that is furthest behind."""
        behind = [self._ring.words[at] for at in self._readers]
        return behind.index(min(behind))

    def close(self) -> None:
        """Give up the memory. Readers keep what they have not read."""
        self._ring.close()


class RingReader:
    """Reader ``index`` of ``num_readers``. Raises RankLostError where a frame is damaged."""

    def __init__(self, fd: int, index: int, num_readers: int) -> None:
        self._ring = _Ring(fd, num_readers)
        self._at = _WORDS_PER_LINE * (1 + index)
        self._taken = 0
        self._checksum = 0
        self._held = bytearray()

    def frames(self) -> Iterator[bytes]:
        """What the frames carry that are complete by now."""
        self._take()
        while len(self._held) >= HEADER_BYTES:
            size = int.from_bytes(self._held[:4], "little")
            if size > MAX_FRAME_BYTES:
                raise RankLostError(f"a plan claims {size:,} bytes; limit {MAX_FRAME_BYTES:,}")
            end = HEADER_BYTES + size
            if len(self._held) < end:
                return
            payload = bytes(memoryview(self._held)[HEADER_BYTES:end])
            self._check(payload)
            del self._held[:end]
            yield payload

    def _take(self) -> None:
        """Copy what was written, so that the writer has room again."""
        ring = self._ring
        count = ring.words[0] - self._taken
        if not 0 <= count <= ring.size:
            raise RankLostError(f"the ring of plans is damaged: {count:,} bytes unread")
        at = self._taken % ring.size
        before_corner = min(count, ring.size - at)
        self._held += ring.data[at : at + before_corner]
        self._held += ring.data[: count - before_corner]
        self._taken += count
        ring.words[self._at] = self._taken

    def _check(self, payload: bytes) -> None:
        """Compare the digest of all that came so far with the writer's."""
        self._checksum = zlib.crc32(payload, zlib.crc32(self._held[:4], self._checksum))
        if self._checksum != int.from_bytes(self._held[4:HEADER_BYTES], "little"):
            raise RankLostError("this rank read other plans than the leader wrote")

    def close(self) -> None:
        """Give up the memory."""
        self._ring.close()
