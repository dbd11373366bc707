from __future__ import annotations

import socket
from collections.abc import Iterator

import msgspec
import pytest

from sglite.errors import CapacityError, EngineDeadError
from sglite.ipc.connection import Connection
from sglite.ipc.frames import FrameReader
from sglite.ipc.messages import FromEngine, Outputs, Refused, Reply
from sglite.request import OutputBatch
from tests.fakes import finish_of


class Pair:
    """A connection and the other end of its socket."""

    def __init__(self, **limits: int) -> None:
        ours, self.other = socket.socketpair()
        self.other.setblocking(False)
        self.notified: list[Connection] = []
        self.connection = Connection(ours, self.notified.append, **limits)
        self._reader = FrameReader()

    def read(self) -> list[object]:
        decode, found = msgspec.msgpack.Decoder(FromEngine).decode, []
        while True:
            try:
                count = self.other.recv_into(self._reader.space())
            except BlockingIOError:
                return found
            if not count:
                return found
            found += [decode(frame) for frame in self._reader.frames(count)]


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.connection.close()
    pair.other.close()


LARGE = Reply(1, result="x" * 100_000)


def test_what_the_socket_takes_is_sent_at_once(pair: Pair) -> None:
    pair.connection.send(Reply(1))
    assert pair.read() == [Reply(1)]
    assert not pair.notified and not pair.connection.has_backlog


def test_the_rest_waits_in_order_and_is_announced_once(pair: Pair) -> None:
    sent = [Reply(number, result="x" * 100_000) for number in range(20)]
    for message in sent:
        pair.connection.send(message)
    assert pair.connection.has_backlog and pair.notified == [pair.connection]
    found = []
    while pair.connection.has_backlog:
        found += pair.read()
        pair.connection.flush()
    assert found + pair.read() == sent
    assert not pair.connection.is_over
    pair.connection.send(Reply(99))
    assert pair.read() == [Reply(99)]


def test_a_reader_too_far_behind_is_given_up() -> None:
    pair = Pair(max_backlog_bytes=150_000)
    for _ in range(20):
        pair.connection.send(LARGE)
    assert pair.connection.is_over and pair.notified
    pair.connection.close()
    pair.connection.send(LARGE)
    assert not pair.connection.has_backlog
    pair.other.close()


def test_a_message_over_the_limit_ends_the_connection() -> None:
    pair = Pair(max_frame_bytes=1000)
    pair.connection.send(LARGE)
    assert pair.connection.is_over and pair.notified == [pair.connection]
    pair.connection.close()
    pair.other.close()


def test_a_reader_that_has_gone_is_noticed_by_the_sender(pair: Pair) -> None:
    pair.other.close()
    pair.connection.send(Reply(1))
    assert pair.connection.is_over and pair.notified
    pair.connection.flush()


def test_requests_are_open_until_they_end_or_are_refused(pair: Pair) -> None:
    connection = pair.connection
    assert [connection.try_open(name) for name in "abca"] == [True, True, True, False]
    batch = OutputBatch(tokens=[("a", 1)], finished=[finish_of("a")])
    connection.deliver(batch)
    connection.refuse("b", CapacityError("full", retry_after_s=2.0))
    connection.refuse(None, EngineDeadError("gone"))
    assert pair.read() == [Outputs(batch), Refused("b", "full", 2.0)]
    assert connection.own(["a", "b", "c", "d"]) == ["c"]
    assert connection.take_requests() == ["c"] and connection.take_requests() == []
