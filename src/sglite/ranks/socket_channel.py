"""Plans to a rank of another machine: frames of msgpack over a connection that both have proved.

The same connection carries what the rank says. How the two sides prove themselves is in
:mod:`sglite.ranks.handshake`; nothing is read as a message before.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from typing import Any

from sglite.config_parallel import ParallelOptions
from sglite.errors import ConfigError, RankLostError
from sglite.ipc.frames import HEADER_BYTES, MAX_FRAME_BYTES, FrameReader, FrameTooLargeError

KEEP_ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Seconds and counts after which a machine that vanished without a word is known to be gone."""


def read_address(options: ParallelOptions) -> tuple[str, int]:
    """Host and port of ``dist_init_addr``. ConfigError where it is none."""
    text = options.dist_init_addr or ""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65535):
        raise ConfigError(
            f"dist_init_addr: {text!r:.80} is not allowed; give HOST:PORT, as in 10.0.0.1:29500 "
            "(the port after it is used as well)"
        )
    return host, int(port)


def prepare(sock: socket.socket) -> None:
    """Small messages go at once, and a peer that vanished is noticed."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class SocketSender:
    """To the rank at the other end of ``sock``; waits at most ``timeout_s`` for it."""

    def __init__(self, sock: socket.socket, *, rank: int, timeout_s: float) -> None:
        self._socket = sock
        self._rank = rank
        self._timeout_s = timeout_s
        sock.settimeout(timeout_s)

    def send(self, payload: bytes) -> None:
        """Send one message. RankLostError where it is not taken in time."""
        if len(payload) > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {len(payload):,} bytes; limit {MAX_FRAME_BYTES:,}")
        try:
            self._socket.sendall(len(payload).to_bytes(HEADER_BYTES, "big") + payload)
        except OSError as error:
            raise RankLostError(
                f"rank {self._rank} has not taken a plan (dist_timeout_s is {self._timeout_s:g}): "
                f"{error}"
            ) from error

    def close(self) -> None:
        """No more comes. The connection belongs to who reads what the rank says."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)


class SocketReceiver:
    """What the leader sends over ``sock``, which waits without a limit from now on."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._frames = FrameReader()
        self._ready: deque[bytes] = deque()
        sock.settimeout(None)

    def receive(self) -> bytes:
        """The next message. EOFError where the leader is gone."""
        while not self._ready:
            try:
                num_received = self._socket.recv_into(self._frames.space())
            except OSError as error:
                raise EOFError("the leader is gone") from error
            if not num_received:
                raise EOFError("the leader is gone")
            try:
                self._ready.extend(bytes(frame) for frame in self._frames.frames(num_received))
            except FrameTooLargeError as error:
                raise RankLostError(f"the leader sends nonsense: {error}") from error
        return self._ready.popleft()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def interface_of(address: str) -> str | None:
    """The network interface with this IPv4 address; None where it is not known."""
    if address.startswith("127."):
        return "lo"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        names = (name for _, name in socket.if_nameindex())
        return next((name for name in names if _address_of(name, probe) == address), None)


def _address_of(interface: str, probe: socket.socket) -> str | None:
    """The first IPv4 address of an interface; None where it has none."""
    import fcntl

    request: Any = interface.encode()[:15].ljust(40, b"\0")
    try:
        answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)
    except OSError:
        return None
    return socket.inet_ntoa(answer[20:24])


SIOCGIFADDR = 0x8915
"""Linux: the address of an interface."""
