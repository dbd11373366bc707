"""Two machines prove to each other that they know the same secret; it never travels.

    leader                                     rank
      HELLO, nonce L  ─────────────────────────▶
      ◀─────────────────────────  HELLO, nonce R, HMAC(secret, "rank" | L | R)
      HMAC(secret, "leader" | L | R)  ─────────▶

Who only listens, or connects to look, learns nothing that could be said again: nonces are fresh,
and the leader proves itself only to who has. What follows is not encrypted, so the network between
the machines must be private.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import socket
from pathlib import Path

from sglite.errors import ConfigError, RankLostError

HELLO = b"sglite-ranks-001"
NONCE_BYTES = 32
PROOF_BYTES = hashlib.sha256().digest_size
MIN_SECRET_BYTES = 16
MAX_SECRET_BYTES = 64 * 1024


def read_secret(path: str) -> bytes:
    """The secret of a file, without white space around it. ConfigError where there is none."""
    try:
        with Path(path).open("rb") as file:
            secret = file.read(MAX_SECRET_BYTES).strip()
    except OSError as error:
        raise ConfigError(f"dist_key_file {path} cannot be read: {error.strerror}") from None
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"dist_key_file {path} holds {len(secret)} bytes; give at least {MIN_SECRET_BYTES}, as "
            "from `openssl rand -hex 32`"
        )
    return secret


def greet_as_leader(sock: socket.socket, secret: bytes) -> None:
    """Let who has connected prove itself, then do so too. RankLostError where it cannot.

    The socket's own timeout holds for each step.
    """
    ours = secrets.token_bytes(NONCE_BYTES)
    _send(sock, HELLO + ours)
    answer = _receive(sock, len(HELLO) + NONCE_BYTES + PROOF_BYTES)
    hello, rest = answer[: len(HELLO)], answer[len(HELLO) :]
    theirs, proof = rest[:NONCE_BYTES], rest[NONCE_BYTES:]
    _check(hello, proof, _proof(secret, b"rank", ours, theirs))
    _send(sock, _proof(secret, b"leader", ours, theirs))


def greet_as_rank(sock: socket.socket, secret: bytes) -> None:
    """Prove ourselves to the leader, and see that it is. RankLostError where it is not."""
    greeting = _receive(sock, len(HELLO) + NONCE_BYTES)
    hello, theirs = greeting[: len(HELLO)], greeting[len(HELLO) :]
    if hello != HELLO:
        raise RankLostError("who answers is no leader of this version of sglite")
    ours = secrets.token_bytes(NONCE_BYTES)
    _send(sock, HELLO + ours + _proof(secret, b"rank", theirs, ours))
    proof = _receive(sock, PROOF_BYTES)
    _check(hello, proof, _proof(secret, b"leader", theirs, ours))


def _proof(secret: bytes, role: bytes, leaders: bytes, ranks: bytes) -> bytes:
    return hmac.digest(secret, role + b"|" + leaders + ranks, "sha256")


def _check(hello: bytes, proof: bytes, expected: bytes) -> None:
    is_same = hmac.compare_digest(proof, expected)
    if hello != HELLO or not is_same:
        raise RankLostError("the other side does not know the secret of dist_key_file")


def _send(sock: socket.socket, data: bytes) -> None:
    try:
        sock.sendall(data)
    except OSError as error:
        raise RankLostError(f"the other side went away before it was known: {error}") from error


def _receive(sock: socket.socket, num_bytes: int) -> bytes:
    data = b""
    while len(data) < num_bytes:
        try:
            part = sock.recv(num_bytes - len(data))
        except OSError as error:
            raise RankLostError(f"the other side does not say who it is: {error}") from error
        if not part:
            raise RankLostError(
                "the other side ended the connection; is dist_key_file the same on all machines?"
            )
        data += part
    return data
