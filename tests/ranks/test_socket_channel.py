from __future__ import annotations

import socket

import pytest

from sglite.config import EngineConfig
from sglite.errors import ConfigError, RankLostError
from sglite.ranks.socket_channel import (
    SocketReceiver,
    SocketSender,
    interface_of,
    prepare,
    read_address,
)


def test_messages_come_in_order_and_their_end_is_known() -> None:
    ours, theirs = socket.socketpair()
    sender, receiver = SocketSender(ours, rank=1, timeout_s=5.0), SocketReceiver(theirs)
    sent = [bytes([number]) * (number * 9) for number in range(40)]
    for payload in sent:
        sender.send(payload)
    assert [receiver.receive() for _ in sent] == sent
    sender.close()
    with pytest.raises(EOFError):
        receiver.receive()
    receiver.close()
    ours.close()


def test_a_rank_that_takes_nothing_is_waited_for_so_long() -> None:
    ours, theirs = socket.socketpair()
    sender = SocketSender(ours, rank=3, timeout_s=0.1)
    with ours, theirs, pytest.raises(RankLostError, match=r"rank 3 .* \(dist_timeout_s is 0.1\)"):
        sender.send(b"x" * 10_000_000)


def test_a_rank_that_is_gone_is_lost() -> None:
    ours, theirs = socket.socketpair()
    sender = SocketSender(ours, rank=2, timeout_s=1.0)
    theirs.close()
    with ours, pytest.raises(RankLostError, match="rank 2"):
        sender.send(b"x")


def test_a_length_beyond_the_limit_is_nonsense_on_both_sides() -> None:
    ours, theirs = socket.socketpair()
    receiver = SocketReceiver(theirs)
    with ours, theirs:
        with pytest.raises(ValueError, match="limit"):
            SocketSender(ours, rank=1, timeout_s=1.0).send(bytes((64 << 20) + 1))
        ours.sendall(b"\xff" * 8)
        with pytest.raises(RankLostError, match="nonsense"):
            receiver.receive()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:29500", ("10.0.0.1", 29500)),
        ("leader.local:1", ("leader.local", 1)),
        ("[::1]:5000", ("::1", 5000)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert read_address(EngineConfig(dist_init_addr=text)) == address


@pytest.mark.parametrize(
    "text", ["", "host", ":5", "host:", "host:x", "host:0", "host:65535", None]
)
def test_what_is_no_address_is_refused(text: str | None) -> None:
    with pytest.raises(ConfigError, match="give HOST:PORT"):
        read_address(EngineConfig(dist_init_addr=text))


def test_interfaces_are_found_by_address() -> None:
    assert interface_of("127.0.0.2") == "lo"
    assert interface_of("203.0.113.77") is None


def test_a_connection_notices_a_peer_that_vanished() -> None:
    with socket.socket() as sock:
        prepare(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
