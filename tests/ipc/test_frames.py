from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sglite.ipc.frames import (
    SMALL_BUFFER_BYTES,
    FrameReader,
    FrameTooLargeError,
    encode,
)
from sglite.ipc.messages import Abort, ToEngine


def feed(reader: FrameReader, data: bytes, cuts: list[int]) -> list[bytes]:
    """Hand ``data`` over in pieces, as far as the reader has room for them."""
    found: list[bytes] = []
    position = 0
    for cut in [*cuts, len(data)]:
        wanted = position + cut
        while position < min(wanted, len(data)):
            space = reader.space()
            assert len(space)
            piece = data[position : min(wanted, position + len(space))]
            space[: len(piece)] = piece
            space.release()
            found += [bytes(frame) for frame in reader.frames(len(piece))]
            position += len(piece)
    return found


def framed(payloads: list[bytes]) -> bytes:
    return b"".join(len(payload).to_bytes(4, "big") + payload for payload in payloads)


def test_a_message_survives_the_journey() -> None:
    message = Abort(["a", "ü"])
    (payload,) = feed(FrameReader(), bytes(encode(message)), [])
    assert msgspec.msgpack.decode(payload, type=ToEngine) == message


@given(
    st.lists(st.binary(max_size=300), max_size=8),
    st.lists(st.integers(1, 400), max_size=20),
)
def test_frames_come_out_whole_however_the_stream_is_cut(
    payloads: list[bytes], cuts: list[int]
) -> None:
    reader = FrameReader()
    assert feed(reader, framed(payloads), cuts) == payloads
    assert reader.num_held_bytes == 0


@pytest.mark.parametrize("size", [SMALL_BUFFER_BYTES - 4, SMALL_BUFFER_BYTES, 1_000_000])
@pytest.mark.parametrize("cut", [1, 1000, 70_000])
def test_large_frames_are_read_and_their_memory_given_back(size: int, cut: int) -> None:
    if size // cut > 100_000:
        cut = 17
    payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    reader, small = FrameReader(), [b"before", b"after"]
    data = framed([small[0], payload, small[1]])
    assert feed(reader, data, [cut] * (len(data) // cut)) == [small[0], payload, small[1]]
    assert len(reader.space()) == SMALL_BUFFER_BYTES


def test_a_frame_at_the_limit_passes_and_one_above_does_not() -> None:
    reader = FrameReader(limit=10)
    assert feed(reader, framed([b"0123456789"]), []) == [b"0123456789"]
    with pytest.raises(FrameTooLargeError, match="11 bytes; limit 10"):
        feed(reader, framed([b"0123456789a"]), [])
    with pytest.raises(FrameTooLargeError):
        encode(Abort(["a" * 100]), limit=50)


def test_memory_follows_the_bytes_that_come_and_not_the_length_that_is_claimed() -> None:
    reader = FrameReader()
    feed(reader, (60_000_000).to_bytes(4, "big") + b"x" * 1000, [])
    assert len(reader.space()) <= SMALL_BUFFER_BYTES


def test_frames_before_a_bad_length_are_still_given() -> None:
    reader = FrameReader(limit=10)
    data = framed([b"good"]) + b"\xff\xff\xff\xff"
    reader.space()[: len(data)] = data
    frames = reader.frames(len(data))
    assert bytes(next(frames)) == b"good"
    with pytest.raises(FrameTooLargeError):
        next(frames)
