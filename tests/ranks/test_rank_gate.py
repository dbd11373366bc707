from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sglite.config import EngineConfig
from sglite.errors import ConfigError, RankLostError
from sglite.ipc.frames import encode
from sglite.ranks import rank_gate
from sglite.ranks.handshake import greet_as_rank
from sglite.ranks.rank_gate import Join, RankGate, Welcome, join_leader, read_word
from sglite.ranks.socket_channel import read_address
from sglite.server.listen import bind

SECRET = b"s" * 20


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "key").write_bytes(SECRET)
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
    return {
        "tp_size": 2,
        "nnodes": 2,
        "dist_init_addr": f"127.0.0.1:{port}",
        "dist_key_file": str(tmp_path / "key"),
    }


@contextlib.contextmanager
def open_gate(config: EngineConfig, expected: list[int], directory: Path) -> Iterator[RankGate]:
    gate = RankGate(config, expected, directory)
    try:
        yield gate
    finally:
        gate.close()


def test_ranks_get_in_with_the_leaders_options(options: dict[str, Any], tmp_path: Path) -> None:
    config = EngineConfig(**options, page_size=8)
    with open_gate(config, [1], tmp_path) as gate:
        sock, found = join_leader(EngineConfig(**options), 1, tmp_path)
        joined = gate.wait(5.0)
        sock.sendall(b"hello")
        assert joined[1].recv(5) == b"hello"
        sock.close()
    assert EngineConfig(**found) == config


def test_a_rank_waits_for_a_leader_that_comes_later(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_gate, "RETRY_S", 0.01)
    config, joined = EngineConfig(**options), []
    thread = threading.Thread(target=lambda: joined.append(join_leader(config, 1, tmp_path)))
    thread.start()
    time.sleep(0.1)
    with open_gate(config, [1], tmp_path) as gate:
        assert list(gate.wait(5.0)) == [1]
        thread.join(5.0)
        joined[0][0].close()
    with pytest.raises(RankLostError, match="no leader at"):
        join_leader(config, 1, tmp_path, timeout_s=0.05)


def test_who_is_not_expected_is_refused_with_the_reason(
    options: dict[str, Any], tmp_path: Path
) -> None:
    config = EngineConfig(**options)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"a": 1}')
    with open_gate(config, [1], tmp_path) as gate:
        with pytest.raises(ConfigError, match=r"rank 2 is not one of \[1\]; check node_rank"):
            join_leader(config, 2, tmp_path)
        with pytest.raises(ConfigError, match="another model"):
            join_leader(config, 1, other)
        sock, _ = join_leader(config, 1, tmp_path)
        gate.wait(5.0)
        sock.close()


def test_the_unproved_change_nothing(
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Silence, nonsense, a wrong key, a damaged or huge word: all dropped, logged, no more."""
    monkeypatch.setattr(rank_gate, "GREETING_S", 0.3)
    caplog.set_level(logging.WARNING, logger="sglite")
    logging.getLogger("sglite").propagate = True
    config = EngineConfig(**options)
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"w" * 20)
    address = read_address(config)
    with open_gate(config, [1], tmp_path) as gate:
        silent = socket.create_connection(address)
        with socket.create_connection(address) as sock:
            sock.sendall(b"\xff" * 10_000)
        with pytest.raises(ConfigError, match="is dist_key_file the same"):
            join_leader(config.replace(dist_key_file=str(wrong)), 1, tmp_path)
        for word in (b"\0\0\0\5nulls", b"\xff\xff\xff\xff", encode(Welcome())):
            with socket.create_connection(address) as sock:
                sock.settimeout(2.0)
                greet_as_rank(sock, SECRET)
                sock.sendall(word)
                assert sock.recv(100) == b""
        silent.settimeout(2.0)
        assert silent.recv(1000)
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1000) == b""
        silent.close()
        sock, _ = join_leader(config, 1, tmp_path)
        assert list(gate.wait(5.0)) == [1]
        sock.close()
    assert caplog.messages.count("rank_not_let_in") == 6


def test_ranks_that_do_not_come_are_named(options: dict[str, Any], tmp_path: Path) -> None:
    gate = RankGate(EngineConfig(**options), [1, 3], tmp_path)
    with pytest.raises(RankLostError, match=r"ranks \[1, 3\] did not come within 0.05 s"):
        gate.wait(0.05)


def test_an_address_that_is_taken_is_told(options: dict[str, Any], tmp_path: Path) -> None:
    config = EngineConfig(**options)
    with open_gate(config, [1], tmp_path), pytest.raises(ConfigError, match="cannot listen"):
        RankGate(config, [1], tmp_path)


def test_a_word_is_read_to_its_end_and_no_further() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(encode(Join(3, "d")) + b"rest")
        assert read_word(ours, Join) == Join(3, "d")
        assert ours.recv(10) == b"rest"


def test_a_wait_that_is_broken_off_frees_the_address(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press_ctrl_c(*_: Any) -> None:
        raise KeyboardInterrupt

    gate = RankGate(EngineConfig(**options), [1], tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Condition, "wait_for", press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            gate.wait()
    RankGate(EngineConfig(**options), [1], tmp_path).close()
