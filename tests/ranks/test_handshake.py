from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sglite.errors import ConfigError, RankLostError
from sglite.ranks.handshake import (
    HELLO,
    NONCE_BYTES,
    PROOF_BYTES,
    greet_as_leader,
    greet_as_rank,
    read_secret,
)

SECRET = b"k" * 32


Work = Callable[[socket.socket], object]


def meet(leader: Work, rank: Work) -> list[str]:
    """What each side says of the other; empty where it is content."""
    ends = socket.socketpair()
    said = ["", ""]

    def run(number: int, work: Work) -> None:
        with ends[number] as sock:
            sock.settimeout(0.5)
            try:
                work(sock)
            except RankLostError as error:
                said[number] = str(error)

    threads = [threading.Thread(target=run, args=each) for each in enumerate((leader, rank))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    return said


def leader(sock: socket.socket) -> None:
    greet_as_leader(sock, SECRET)


def test_who_know_the_same_secret_are_content() -> None:
    said = meet(
        lambda sock: greet_as_leader(sock, SECRET), lambda sock: greet_as_rank(sock, SECRET)
    )
    assert said == ["", ""]


def test_a_rank_with_another_secret_learns_nothing_but_that() -> None:
    said = meet(
        lambda sock: greet_as_leader(sock, SECRET), lambda sock: greet_as_rank(sock, b"?" * 32)
    )
    assert "does not know the secret" in said[0]
    assert "ended the connection" in said[1]


def test_a_leader_with_another_secret_is_found_out() -> None:
    """It cannot check a rank's proof, and so pretends that it was right."""

    def pretend(sock: socket.socket) -> None:
        sock.sendall(HELLO + b"n" * NONCE_BYTES)
        answer = b""
        while len(answer) < len(HELLO) + NONCE_BYTES + PROOF_BYTES:
            answer += sock.recv(4096)
        sock.sendall(answer[-PROOF_BYTES:])  # what it has heard, said back

    said = meet(pretend, lambda sock: greet_as_rank(sock, SECRET))
    assert "does not know the secret" in said[1]


@pytest.mark.parametrize("word", [b"", b"GET / HTTP/1.1\r\n\r\n", b"x" * 500])
def test_who_speaks_something_else_is_refused_on_both_sides(word: bytes) -> None:
    def speak(sock: socket.socket) -> None:
        sock.sendall(word)
        sock.shutdown(socket.SHUT_WR)

    assert meet(leader, speak)[0]
    assert meet(speak, lambda sock: greet_as_rank(sock, SECRET))[1]


def test_who_says_nothing_is_not_waited_for() -> None:
    silence = threading.Event()
    said = meet(leader, lambda _: silence.wait(1.0))
    assert "does not say who it is" in said[0]


def test_no_nonce_is_used_twice() -> None:
    seen = set()
    for _ in range(20):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(RankLostError):
                greet_as_leader(ours, SECRET)
            seen.add(theirs.recv(4096))
    assert len(seen) == 20


def test_a_secret_is_a_file_of_some_length(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(SECRET + b"\n")
    assert read_secret(str(file)) == SECRET
    file.write_bytes(b"short\n")
    with pytest.raises(ConfigError, match="holds 5 bytes; give at least 16"):
        read_secret(str(file))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_secret(str(tmp_path / "none"))
