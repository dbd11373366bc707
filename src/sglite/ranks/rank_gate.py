"""Where ranks of other machines meet: the leader's door, and how a rank gets through it.

The leader listens at ``dist_init_addr``; torch's store, with the addresses of the groups, listens
at the port after it, and the groups at ports of their own. Who connects and does not know the
secret is dropped, logged, and changes nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import socket
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from sglite.config import EngineConfig
from sglite.errors import ConfigError, RankLostError
from sglite.ipc.frames import BAD_FRAME_ERRORS, HEADER_BYTES, encode
from sglite.ranks.handshake import greet_as_leader, greet_as_rank, read_secret
from sglite.ranks.socket_channel import prepare, read_address

JOIN_S = 600.0
"""What all machines may take to come."""
GREETING_S = 5.0
"""What one that has connected may take to say who it is."""
MAX_GREETINGS = 32
"""Connections that may be at that at a time."""
RETRY_S = 0.5
MAX_WORD_BYTES = 64 * 1024

logger = logging.getLogger(__name__)


class Join(msgspec.Struct, tag="join", frozen=True):
    """The first word of a rank: which it is, and the digest of its model's config.json."""

    rank: int
    model_digest: str


class Welcome(msgspec.Struct, tag="welcome", frozen=True):
    """The leader's settled options, by name; or why the rank is not welcome."""

    config: dict[str, Any] = {}
    refusal: str = ""


def model_digest(model_directory: Path) -> str:
    """What tells that two machines have the same kind of model."""
    return hashlib.sha256((model_directory / "config.json").read_bytes()).hexdigest()


class RankGate:
    """Lets the ranks ``expected`` of other machines in, each once. The leader's side.

    Raises ConfigError where the options have no address or secret, or cannot be listened at.
    """

    def __init__(self, config: EngineConfig, expected: list[int], model_directory: Path) -> None:
        self._secret = read_secret(config.dist_key_file or "")
        self._welcome = Welcome(config.to_dict())
        self._digest = model_digest(model_directory)
        self._expected = set(expected)
        self._joined: dict[int, socket.socket] = {}
        self._changed = threading.Condition()
        self._places = threading.Semaphore(MAX_GREETINGS)
        self._is_closed = False
        host, port = read_address(config)
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listener = socket.create_server((host, port), family=family)
        except OSError as error:
            raise ConfigError(
                f"dist_init_addr: cannot listen at {host}:{port}: {error.strerror or error}"
            ) from None
        threading.Thread(target=self._accept, name="rank-gate", daemon=True).start()

    def wait(self, timeout_s: float = JOIN_S) -> dict[int, socket.socket]:
        """The connections of all ranks, by rank. RankLostError where some do not come."""
        try:
            with self._changed:
                self._changed.wait_for(lambda: len(self._joined) == len(self._expected), timeout_s)
                missing = sorted(self._expected - set(self._joined))
            if missing:
                raise RankLostError(f"ranks {missing} did not come within {timeout_s:g} s")
        except BaseException:  # Ctrl-C too: the next try needs the port
            self.close()
            raise
        self._stop_listening()
        return self._joined

    def close(self) -> None:
        """Let nobody in any more; those who are in are sent away."""
        self._stop_listening()
        with self._changed:
            for sock in self._joined.values():
                sock.close()

    def _stop_listening(self) -> None:
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                sock, address = self._listener.accept()
            except OSError:
                return
            if not self._places.acquire(blocking=False):
                sock.close()
                continue
            threading.Thread(target=self._greet, args=(sock, address), daemon=True).start()

    def _greet(self, sock: socket.socket, address: Any) -> None:
        try:
            sock.settimeout(GREETING_S)
            prepare(sock)
            greet_as_leader(sock, self._secret)
            self._let_in(sock, read_word(sock, Join))
        except (OSError, EOFError, RankLostError, *BAD_FRAME_ERRORS) as error:
            fields = {"peer": str(address[0]), "cause": str(error)}
            logger.warning("rank_not_let_in", extra={"fields": fields})
            sock.close()
        finally:
            self._places.release()

    def _let_in(self, sock: socket.socket, join: Join) -> None:
        refusal = ""
        if join.rank not in self._expected:
            refusal = f"rank {join.rank} is not one of {sorted(self._expected)}; check node_rank"
        elif join.model_digest != self._digest:
            refusal = f"rank {join.rank} has another model: its config.json is not machine 0's"
        with self._changed:
            if not refusal and join.rank in self._joined:
                refusal = f"rank {join.rank} has joined already; check node_rank"
            sock.sendall(encode(Welcome(refusal=refusal) if refusal else self._welcome))
            if refusal:
                raise RankLostError(refusal)
            self._joined[join.rank] = sock
            self._changed.notify_all()
        logger.info("rank_joined", extra={"fields": {"rank": join.rank}})


def join_leader(
    config: EngineConfig, rank: int, model_directory: Path, *, timeout_s: float = JOIN_S
) -> tuple[socket.socket, dict[str, Any]]:
    """A rank's side: the connection to the leader, and its options.

    Waits for a leader that is not there yet. ConfigError where it refuses us, or the secrets
    differ, RankLostError where it does not come.
    """
    secret = read_secret(config.dist_key_file or "")
    sock = _connect(read_address(config), timeout_s)
    try:
        sock.settimeout(GREETING_S)
        prepare(sock)
        greet_as_rank(sock, secret)
        sock.sendall(encode(Join(rank, model_digest(model_directory))))
        welcome = read_word(sock, Welcome)
    except (OSError, EOFError, RankLostError, *BAD_FRAME_ERRORS) as error:
        sock.close()
        raise ConfigError(f"rank {rank} cannot join {config.dist_init_addr}: {error}") from error
    if welcome.refusal:
        sock.close()
        raise ConfigError(welcome.refusal)
    return sock, welcome.config


def _connect(address: tuple[str, int], timeout_s: float) -> socket.socket:
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            return socket.create_connection(address, timeout=GREETING_S)
        except OSError as error:
            if time.monotonic() > deadline_s:
                raise RankLostError(
                    f"no leader at {address[0]}:{address[1]} after {timeout_s:g} s: {error}"
                ) from error
        time.sleep(RETRY_S)


Word = type[Join] | type[Welcome]


def read_word(sock: socket.socket, kind: Word) -> Any:
    """One frame, and nothing beyond it. Raises EOFError, OSError, or one of BAD_FRAME_ERRORS."""
    size = int.from_bytes(_read(sock, HEADER_BYTES), "big")
    if size > MAX_WORD_BYTES:
        raise ValueError(f"a word of {size:,} bytes; limit {MAX_WORD_BYTES:,}")
    return msgspec.msgpack.decode(_read(sock, size), type=kind)


def _read(sock: socket.socket, num_bytes: int) -> bytes:
    data = b""
    while len(data) < num_bytes:
        part = sock.recv(num_bytes - len(data))
        if not part:
            raise EOFError("the connection has ended")
        data += part
    return data
