"""HTTP requests as bytes, sound or not, and what comes back for them."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

HANG_S = 5.0
"""A refusal that takes longer counts as a hang."""
WORK_S = 60.0
"""What an answer of 200 may take: some calls are sound and large, and the machine may be busy."""

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is sent over one connection.

    ``name`` says in a failure what it was. ``may_close``: the end of the connection is as good as
    an answer. ``piece_bytes``: how much is sent at once, 0 for everything. ``ends_early``: the
    client says that nothing more will come.
    """

    name: str
    path: str
    data: bytes
    method: str = "POST"
    may_close: bool = False
    piece_bytes: int = 0
    ends_early: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` is None where the connection ended without an answer."""

    status: int | None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0

    def json(self) -> Any:
        return json.loads(self.body)


def head(method: str, path: str, headers: Headers = ()) -> bytes:
    """The head of a request; the connection ends with its answer."""
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1"), b"Host: a", b"Connection: close"]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def request(
    path: str,
    body: bytes | None = None,
    *,
    method: str = "POST",
    headers: Headers = (),
    name: str = "",
    **settings: Any,
) -> Call:
    """A request whose HTTP is sound, with a JSON body or none."""
    framing: list[tuple[bytes, bytes]] = []
    if body is not None:
        framing = [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", str(len(body)).encode()),
        ]
    data = head(method, path, [*framing, *headers]) + (body or b"")
    shown = name or f"{(body or b'')[:200]!r}"
    return Call(
        name=f"{method} {path[:100]} {shown}", path=path, data=data, method=method, **settings
    )


def exchange(port: int, call: Call) -> Answer:
    """Send a call to this machine. AssertionError where the answer hangs."""
    began_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), WORK_S) as sock:
        try:
            _send(sock, call)
            answer = _receive(sock, call.method)
        except TimeoutError:
            raise AssertionError(f"{call.name}: nothing came for {WORK_S:g} s") from None
    seconds = time.monotonic() - began_s
    limit_s = WORK_S if answer.status == 200 else HANG_S
    assert seconds < limit_s, f"{call.name}: {answer.status} after {seconds:.1f} s"
    return Answer(answer.status, answer.headers, answer.body, seconds)


def _send(sock: socket.socket, call: Call) -> None:
    size = call.piece_bytes or max(1, len(call.data))
    with contextlib.suppress(ConnectionError):  # refused in the middle: the answer may be there
        for start in range(0, len(call.data), size):
            sock.sendall(call.data[start : start + size])
        if call.ends_early:
            sock.shutdown(socket.SHUT_WR)


def _receive(sock: socket.socket, method: str) -> Answer:
    try:
        with contextlib.closing(http.client.HTTPResponse(sock, method=method)) as response:
            response.begin()
            body = response.read()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, body)
    except (ConnectionError, http.client.HTTPException):
        return Answer(None)
