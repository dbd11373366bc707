from __future__ import annotations

import fcntl
import os
import threading

import pytest

from sglite.errors import RankLostError
from sglite.ranks.local_channel import LocalReceiver, LocalSender


def make(num_readers: int, **options: int) -> tuple[LocalSender, list[LocalReceiver]]:
    sender = LocalSender(num_readers, timeout_s=0.2, **options)
    receivers = [
        LocalReceiver(*(os.dup(fd) for fd in sender.fds_of(i)), i, num_readers)
        for i in range(num_readers)
    ]
    sender.close_inherited()
    return sender, receivers


def test_messages_come_in_order_also_when_larger_than_the_ring() -> None:
    sender, receivers = make(3, ring_bytes=128)
    sent = [bytes([number % 251]) * (number * 3) for number in range(150)]
    got: list[list[bytes]] = [[], [], []]

    def read(reader: int) -> None:
        got[reader] += [receivers[reader].receive() for _ in sent]

    threads = [threading.Thread(target=read, args=(reader,)) for reader in range(3)]
    for thread in threads:
        thread.start()
    for payload in sent:
        sender.send(payload)
    for thread in threads:
        thread.join(10)
    assert got == [sent] * 3
    sender.close()


def test_a_reader_sleeps_until_the_bell_and_learns_of_the_leaders_end() -> None:
    sender, (receiver,) = make(1)
    sender.send(b"last")
    sender.close()
    sender.close()
    assert receiver.receive() == b"last"
    with pytest.raises(EOFError):
        receiver.receive()
    receiver.close()


def test_a_reader_without_room_is_waited_for_so_long_and_named() -> None:
    sender, (quick, _) = make(2, ring_bytes=64)
    sender.send(b"x" * 40)
    assert quick.receive() == b"x" * 40
    with pytest.raises(RankLostError, match=r"local rank 2 .* 0.2 s \(dist_timeout_s\)"):
        sender.send(b"y" * 40)
    sender.close()


def test_bells_that_nobody_hears_do_not_stop_the_writer() -> None:
    sender, (receiver,) = make(1)
    fcntl.fcntl(sender._bells[0], fcntl.F_SETPIPE_SZ, 4096)
    for number in range(5000):
        sender.send(b"%d" % (number % 10))
    assert [receiver.receive() for _ in range(5000)][-1] == b"9"
    sender.close()


def test_a_reader_that_is_gone_does_not_hurt_the_others() -> None:
    sender, (gone, here) = make(2)
    gone.close()
    sender.send(b"on")
    assert here.receive() == b"on"
    sender.close()
