"""A peer behind a pipe answers, and whatever else it does is an error within its time."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from sglite.bench.suite.peer_process import PeerCommand, PeerProcess
from sglite.bench.suite.workloads import Ask
from sglite.errors import RemoteError
from tests.bench.fake_peer import read_journal

FAKE = Path(__file__).resolve().parent.parent / "fake_peer.py"
ASKS = [Ask([5, 6], 2), Ask([7], 3)]


@contextmanager
def opened(
    model,
    *,
    python=(sys.executable,),
    timeout_s=30.0,
    load_timeout_s=30.0,
    environment=None,
    log=None,
    **options,
):
    command = PeerCommand(python=python, adapter=FAKE, environment=environment or {}, log=log)
    process = PeerProcess(
        command, model, options, load_timeout_s=load_timeout_s, timeout_s=timeout_s
    )
    try:
        yield process
    finally:
        process.close()


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_it_loads_answers_and_closes(tmp_path):
    journal, log = tmp_path / "journal", tmp_path / "log"
    with opened("ok", journal=str(journal), threads=2, log=log) as peer:
        assert peer.load() >= 0
        assert peer.version == "fake 1"
        assert peer.batch(ASKS).outputs == [[6, 6], [7, 7, 7]]
        answers = peer.stream(ASKS[1])
        assert (answers.outputs, answers.first_s, answers.seconds) == ([[7, 7, 7]], 0.25, 1.25)
        peer.close()
        peer.close()
    assert [what for _, what, _ in read_journal(journal)] == ["load", "batch", "stream", "close"]
    assert read_journal(journal)[0][2] == {"threads": 2}
    assert "a library prints this" in log.read_text(), "and not between the answers"


def test_the_time_is_that_of_the_call():
    with opened("ok", pause_s=0.05) as peer:
        peer.load()
        assert peer.batch(ASKS).seconds >= 0.05


def test_what_cannot_be_loaded_says_why_in_a_line():
    with opened("refuse") as peer, pytest.raises(RemoteError, match="ValueError: no such model"):
        peer.load()


def test_one_that_dies_leaves_its_last_words_and_can_be_loaded_again():
    with opened("die") as peer:
        peer.load()
        with pytest.raises(RemoteError, match="ended with code 3; its last words: .*out of luck"):
            peer.batch(ASKS)
        peer.load()
        assert peer.stream(ASKS[0]).outputs == [[7, 7]]


def test_one_that_hangs_is_ended():
    with opened("hang", timeout_s=0.2) as peer:
        peer.load()
        started_s = time.monotonic()
        with pytest.raises(RemoteError, match="no answer within 0.2 s"):
            peer.batch(ASKS)
        assert time.monotonic() - started_s < 60


def test_one_that_does_not_listen_is_ended():
    python = ("/bin/sh", "-c", "sleep 600")
    more_than_a_pipe_holds = "x" * (1 << 20)
    with (
        opened("ok", python=python, load_timeout_s=0.2, text=more_than_a_pipe_holds) as peer,
        pytest.raises(RemoteError, match="no answer within 0.2 s"),
    ):
        peer.load()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_what_it_started_ends_with_it(tmp_path):
    journal = tmp_path / "journal"
    with opened("child", journal=str(journal)) as peer:
        peer.load()
        child = read_journal(journal)[1][2]
        assert is_alive(child)
    for _ in range(200):
        if not is_alive(child):
            break
        time.sleep(0.01)
    assert not is_alive(child)


@pytest.mark.parametrize(
    ("python", "message"),
    [
        (("/no/python",), "cannot be started"),
        (("/bin/sh", "-c", "read line; echo no JSON"), "is no JSON object"),
        (("/bin/sh", "-c", "read line; echo 1"), "is no JSON object"),
        (
            ("/bin/sh", "-c", "read line; echo gone >&2; exit 4"),
            "ended with code 4; its last words: gone",
        ),
    ],
)
def test_what_is_no_peer_is_said(python, message):
    with opened("ok", python=python) as peer, pytest.raises(RemoteError, match=message):
        peer.load()


def test_its_environment_is_set_in_front():
    python = ("/bin/sh", "-c", "read line; echo colour $COLOUR >&2")
    with (
        opened("ok", python=python, environment={"COLOUR": "blue"}) as peer,
        pytest.raises(RemoteError, match="colour blue"),
    ):
        peer.load()
