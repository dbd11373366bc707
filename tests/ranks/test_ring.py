from __future__ import annotations

import os
import random

import pytest

from sglite.errors import RankLostError
from sglite.ranks.ring import LINE, MAX_FRAME_BYTES, RingReader, RingWriter, make_memory


def make(num_readers: int, num_bytes: int) -> tuple[RingWriter, list[RingReader], int]:
    fd = make_memory(num_readers, num_bytes)
    readers = [RingReader(fd, index, num_readers) for index in range(num_readers)]
    return RingWriter(fd, num_readers), readers, fd


def test_every_reader_gets_every_frame_whatever_its_size_and_pace() -> None:
    """Frames of all sizes, up to several times the ring, with readers that lag in turns."""
    shuffle = random.Random(1)
    writer, readers, fd = make(3, 256)
    sent = [
        shuffle.randbytes(shuffle.choice([0, 1, 7, 100, 248, 255, 256, 900])) for _ in range(400)
    ]
    got: list[list[bytes]] = [[] for _ in readers]
    for payload in sent:
        part = writer.frame(payload)
        while part:
            part = part[writer.try_write(part) :]
            for reader, frames in zip(readers, got, strict=True):
                if not part or shuffle.random() < 0.5:
                    frames += reader.frames()
    assert got == [sent] * 3
    assert writer.num_unread == 0
    for end in (writer, *readers):
        end.close()
    os.close(fd)


def test_nothing_is_written_over_what_the_slowest_has_not_read() -> None:
    writer, (quick, slow), fd = make(2, 64)
    part = writer.frame(b"x" * 40)
    assert writer.try_write(part) == 48
    assert list(quick.frames()) == [b"x" * 40]
    part = writer.frame(b"y" * 40)
    assert writer.try_write(part) == 16
    assert writer.try_write(part[16:]) == 0
    assert writer.slowest() == 1
    assert list(slow.frames()) == [b"x" * 40]
    os.close(fd)


@pytest.mark.parametrize("place", [0, 5, 8, 20])
def test_a_damaged_byte_is_noticed(place: int) -> None:
    """In length, checksum or payload; where a frame became longer, the next one tells."""
    writer, (reader,), fd = make(1, 4096)
    for payload in (b"a" * 30, b"b" * 30, b"c" * 30):
        writer.try_write(writer.frame(payload))
    at = 2 * LINE + 38 + place
    os.pwrite(fd, bytes([os.pread(fd, 1, at)[0] ^ 1]), at)
    with pytest.raises(RankLostError):
        list(reader.frames())
    os.close(fd)


def test_a_length_or_count_out_of_bounds_is_noticed() -> None:
    writer, (reader,), fd = make(1, 4096)
    writer.try_write(memoryview((MAX_FRAME_BYTES + 1).to_bytes(4, "little") + bytes(20)))
    with pytest.raises(RankLostError, match="limit"):
        list(reader.frames())
    os.pwrite(fd, (1 << 40).to_bytes(8, "little"), 0)
    with pytest.raises(RankLostError, match="damaged"):
        list(reader.frames())
    os.close(fd)


def test_a_lost_frame_is_noticed_at_the_next() -> None:
    writer, (reader,), fd = make(1, 4096)
    writer.frame(b"never written")
    writer.try_write(writer.frame(b"written"))
    with pytest.raises(RankLostError, match="other plans"):
        list(reader.frames())
    os.close(fd)


def test_a_frame_beyond_the_limit_is_not_begun() -> None:
    writer, _, fd = make(1, 64)
    with pytest.raises(ValueError, match="limit"):
        writer.frame(bytes(MAX_FRAME_BYTES + 1))
    os.close(fd)
