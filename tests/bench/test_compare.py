"""The command runs sglite and peers in turn as processes of their own; here all are fakes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sglite.bench import compare
from sglite.bench.suite import command
from sglite.bench.suite.machine import Rates
from sglite.cli.parser import CommandParser
from sglite.errors import ConfigError
from tests.bench.fake_peer import read_journal

RATES = Rates(read_bytes_per_s=30e9, flop_per_s=400e9)
FAKE = Path(__file__).resolve().parent / "fake_peer.py"
SMALL = ["--shrink", "32", "--rounds", "1", "--max-total-tokens", "4096"]


def run(*words):
    return compare.main([*map(str, words)], parser_class=CommandParser)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(command, "measure_rates", lambda dtype, with_int8: RATES)
    monkeypatch.setattr(command, "SETTLE_S", 0.0)


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """The words for peers ``a`` and ``b``; sglite's process is a fake too."""
    monkeypatch.setattr(
        command.Session,
        "own_process",
        lambda session, job: session.process(
            command.PeerCommand(python=(sys.executable,), adapter=FAKE),
            "ok",
            {"journal": str(tmp_path / "journal"), "label": "sglite"},
        ),
    )
    words = []
    for name in ("a", "b"):
        words += ["--peer", f"{name}={sys.executable}", "--adapter", f"{name}={FAKE}"]
        words += ["--peer-model", f"{name}=ok", "--peer-option", f"{name}:label={name}"]
        words += ["--peer-option", f"{name}:journal={tmp_path / 'journal'}"]
    return words


def test_all_stay_loaded_and_take_turns(fakes, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--workloads", "W3,W1", "--peer-workloads", "b=W1", "--out", out]
    assert run(*fakes, *SMALL, *words) == 0
    calls = [(label, what) for label, what, _ in read_journal(tmp_path / "journal")]
    loads = sorted(label for label, what in calls if what == "load")
    assert loads == ["a", "b", "sglite"], "once each"
    timed = [call for call in calls if call[1] in ("batch", "stream")][-5:]
    assert timed == [
        ("sglite", "batch"),
        ("a", "batch"),
        ("sglite", "stream"),
        ("a", "stream"),
        ("b", "stream"),
    ]
    assert [call[1] for call in calls[-3:]] == ["close"] * 3
    found = json.loads((out / "results.json").read_text())
    assert found["versions"] == {"sglite": "fake 1", "a": "fake 1", "b": "fake 1"}
    assert list(found["results"]["W3"]["engines"]) == ["sglite", "a"]
    assert found["results"]["W1"]["ratios"] == {"a": 1.0, "b": 1.0}
    told = [value for who, what, value in read_journal(tmp_path / "journal") if who == "a"]
    assert told[0] == {"dtype": found["dtype"], "threads": found["machine"]["threads"]}
    assert "a library prints this" in (out / "a.log").read_text()
    assert "| W1 single stream |" in (out / "cpu.md").read_text()


def test_one_that_fails_is_reported_and_the_others_go_on(fakes, tmp_path, capsys):
    fakes[fakes.index("b=ok")] = "b=short"
    assert run(*fakes, *SMALL, "--workloads", "W3") == 1
    out = capsys.readouterr().out
    assert "W3 b: answer 0 has 0 tokens instead of 1" in out
    assert "failed" in out and "(" in out


def test_models_options_and_tiny_models_reach_their_peer(fakes, tmp_path):
    words = [*fakes, *SMALL, "--workloads", "W5", "--peer-tiny-model", "a=refuse"]
    embedded = str(Path(compare.__file__).resolve().parent.parent / "embedded")
    words += ["--tiny-model", embedded, "--peer-tiny-model", "b=ok", "--peer-option", "a:depth=[1]"]
    assert run(*words) == 1, "a refuses"
    loads = [
        (who, value) for who, what, value in read_journal(tmp_path / "journal") if what == "load"
    ]
    assert dict(loads)["a"]["depth"] == [1]
    assert sorted(who for who, _ in loads) == ["a", "b", "sglite"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--peer NAME=PYTHON says"),
        (["--peer", "vllm"], "--peer 'vllm'"),
        (["--peer", "sglite=python"], "--peer 'sglite=python'"),
        (["--peer", "a/b=python"], "--peer 'a/b=python'"),
        (["--peer", "a=python", "--peer", "a=python"], "each name once"),
        (["--peer", "tgi=python"], "'tgi': known are"),
        (["--peer", "vllm=python", "--peer-model", "vlm=x"], "--peer-model 'vlm'"),
        (["--peer", "vllm=python", "--peer-option", "vlm:a=1"], "--peer-option 'vlm'"),
        (["--peer", "vllm=python", "--peer-option", "vllm:a"], "give NAME:KEY=VALUE"),
        (["--peer", "vllm=python", "--peer-workloads", "vllm=W8"], "'W8' is not one of"),
        (["--peer", "vllm=python", "--adapter", "vllm=/none.py"], "there is no file"),
    ],
)
def test_bad_words_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        run(*words, "--workloads", "W1")


def test_a_peer_is_started_as_its_table_and_the_flags_say():
    parser = CommandParser(prog="sglite bench compare", description="")
    compare.add_arguments(parser)
    words = ["--peer", "vllm=env A=1 /x/python", "--peer-option", "vllm:dtype=float32"]
    session = command.read_session(parser, [*words, "--workloads", "W1"], compare.ALLOWED)
    ((name, python),) = compare.read_peers(session.arguments)
    peer = compare.Peer.read(name, python, session)
    line = peer.command.words()
    assert line[0] == "env" and "VLLM_CPU_KVCACHE_SPACE=4" in line
    assert line[-5:-2] == ["env", "A=1", "/x/python"]
    assert Path(line[-1]).name == "vllm.py"
    assert peer.options["dtype"] == "float32"
    assert peer.jobs == {"W0", "W1", "W2", "W3", "W6", "W7", "W5/W1"}
