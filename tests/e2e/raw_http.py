"""HTTP over sockets that a test holds in its own hands: half requests, resets, tiny windows."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

WAIT_S = 60.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends RST, and drops what was unsent."""


def request_bytes(
    path: str, body: Any = None, *, method: str = "POST", headers: Mapping[str, str] | None = None
) -> bytes:
    """A request with a JSON body, whole; ``None`` is no body."""
    payload = b"" if body is None else json.dumps(body).encode()
    fields = {"Host": "test", "Content-Type": "application/json"} | dict(headers or {})
    fields.setdefault("Content-Length", str(len(payload)))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + payload


class RawConnection:
    """One connection to the server at ``url``.

    ``receive_buffer_bytes`` makes the window small, so that a server soon notices that nobody
    reads. Leave it with ``with``, or by :meth:`reset` or :meth:`finish`.
    """

    def __init__(self, url: str, *, receive_buffer_bytes: int | None = None) -> None:
        parts = urlsplit(url)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(WAIT_S)
        if receive_buffer_bytes is not None:  # counts only before the connection is made
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.connect((parts.hostname, parts.port))
        self._received = b""

    def send(self, data: bytes) -> None:
        """Send all of it. Raises OSError where the server has closed the connection."""
        self.socket.sendall(data)

    def receive(self, most: int = 65536) -> bytes:
        """What comes next; empty at the end of the connection, however it ended."""
        try:
            return self.socket.recv(most)
        except ConnectionResetError:
            return b""

    def take_a_byte(self) -> None:
        """Read one byte if one is there. Raises OSError where there is none, or no more."""
        self.socket.recv(1, socket.MSG_DONTWAIT)

    def read_events(self, count: int) -> int:
        """Read until ``count`` events of a stream are there; how many came before its end."""
        while (found := self._received.count(b"\ndata: ")) < count:
            data = self.receive()
            if not data:
                break
            self._received += data
        return min(found, count)

    def read_to_end(self) -> bytes:
        """Everything until the server closes the connection."""
        while data := self.receive():
            self._received += data
        return self._received

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and body of the next answer."""
        response = HTTPResponse(self.socket)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read()

    def reset(self) -> None:
        """Leave with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.socket.close()

    def finish(self) -> None:
        """Leave with FIN, and take what the server still says until it leaves as well."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
            while self.receive():
                pass
        except OSError:  # it was the first to go
            pass
        finally:
            self.socket.close()

    def __enter__(self) -> RawConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
