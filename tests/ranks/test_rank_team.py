from __future__ import annotations

import socket
import subprocess
import sys
import threading

import pytest

from sglite.errors import RankLostError
from sglite.ipc.frames import encode
from sglite.ranks.channel import decode_to_rank
from sglite.ranks.messages import Close, Proceed, RankAt, RankFault, ToRank
from sglite.ranks.rank_links import RankLinks
from sglite.ranks.rank_team import Fanout, RankTeam


class Kept:
    """A sender that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[ToRank] = []
        self.is_closed = False

    def send(self, payload: bytes) -> None:
        self.messages.append(decode_to_rank(payload))

    def close(self) -> None:
        self.is_closed = True


def make(
    program: str = "import sys; sys.stdin.read()",
) -> tuple[RankTeam, Kept, socket.socket, list[str]]:
    """A team of one rank, whose process runs ``program``; its end, and what was released."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([sys.executable, "-c", program], stdin=theirs.fileno())
    links, sender, released = RankLinks({1: ours}), Kept(), []
    links.start()
    team = RankTeam(
        links, Fanout([sender]), {1: process}, release=lambda: released.append("directory")
    )
    return team, sender, theirs, released


def test_a_phase_is_settled_at_the_smallest_pool() -> None:
    team, sender, rank, released = make()
    rank.sendall(encode(RankAt("started", 0)) + encode(RankAt("planned", 5)))
    assert team.settle("planned", 9) == 5
    assert sender.messages == [Proceed("planned", 5)]
    assert released == ["directory"]
    team.kill()
    rank.close()


def test_work_with_the_others_ends_with_the_loss_of_one() -> None:
    team, _, rank, _ = make()
    assert team.watched(lambda: 4) == 4
    forever = threading.Event()
    rank.sendall(encode(RankFault("no more")))
    with pytest.raises(RankLostError, match="no more"):
        team.watched(lambda: forever.wait(20.0))
    forever.set()
    team.kill()
    rank.close()


def test_failed_work_is_explained_by_the_rank_that_failed() -> None:
    team, _, rank, _ = make()

    def fail() -> None:
        rank.sendall(encode(RankFault("the true cause")))
        raise RuntimeError("reset")

    with pytest.raises(RankLostError, match="the true cause"):
        team.watched(fail)
    team.kill()
    rank.close()


def test_closing_tells_and_waits_and_killing_does_not() -> None:
    team, sender, rank, released = make()
    rank.close()  # as the process's end will, which reads until ours is closed
    threading.Timer(0.1, lambda: team.links.close()).start()
    team.close()
    team.close()
    assert sender.messages == [Close()]
    assert sender.is_closed
    assert released == ["directory"]
    (process,) = team._processes.values()
    assert process.returncode == 0


def test_a_rank_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sglite.ranks.rank_team.CLOSE_S", 0.05)
    monkeypatch.setattr("sglite.ranks.rank_team.EXIT_S", 0.05)
    team, _, rank, _ = make("import time; time.sleep(60)")
    team.close()
    (process,) = team._processes.values()
    assert process.returncode == -9
    rank.close()
