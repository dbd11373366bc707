"""The loop does what the lines say; tests/bench/suite/test_peer_process.py runs it as a process."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from sglite.bench.peers import serve_peer
from sglite.bench.peers.serve_peer import PeerLoop, load_adapter, serve
from tests.bench.fake_peer import Peer

FAKE = Path(__file__).resolve().parent.parent / "fake_peer.py"
LOAD = {"do": "load", "model": "ok", "options": {}}


def test_each_message_has_its_answer():
    loop = PeerLoop(Peer)
    loaded = loop.answer(dict(LOAD))
    assert loaded["version"] == "fake 1" and loaded["seconds"] >= 0
    assert loop.answer({"do": "batch", "requests": [[[5], 2]]})["outputs"] == [[5, 5]]
    streamed = loop.answer({"do": "stream", "prompt": [5], "count": 2})
    assert streamed == {"first_s": 0.25, "seconds": 0.75, "outputs": [[7, 7]]}
    loop.answer({"do": "close"})
    loop.close()


@pytest.fixture
def talk(monkeypatch):
    """Feeds messages to the loop; gives what it answered."""

    def with_lines(*messages):
        answers = io.StringIO()
        text = "".join(json.dumps(message) + "\n" for message in messages)
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        monkeypatch.setattr(serve_peer, "take_standard_output", lambda: answers)
        serve(FAKE)
        return [json.loads(line) for line in answers.getvalue().splitlines()]

    return with_lines


def test_what_fails_is_told_and_the_loop_goes_on(talk):
    refused = {**LOAD, "model": "refuse"}
    answers = talk(refused, {"do": "dance"}, LOAD, {"do": "close"}, LOAD)
    assert answers[0] == {"error": "ValueError: no such\nmodel"}
    assert "error" in answers[1]
    assert [answer.get("version") for answer in answers[2:]] == ["fake 1", None], "closed is closed"


def test_the_end_of_the_input_closes_the_peer(talk, tmp_path):
    journal = tmp_path / "journal"
    talk({**LOAD, "options": {"journal": str(journal)}})
    assert journal.read_text().splitlines()[-1] == '["fake", "close", null]'


def test_an_adapter_may_be_called_as_what_it_imports(tmp_path):
    path = tmp_path / "json.py"
    path.write_text("import json\nclass Peer:\n    version = json.dumps([1])\n")
    assert load_adapter(path).version == "[1]"
    assert sys.modules["json"] is json
