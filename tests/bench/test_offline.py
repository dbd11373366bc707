"""The command measures the embedded model and writes what was asked for."""

from __future__ import annotations

import json

import pytest

from sglite.bench import offline
from sglite.bench.suite import command
from sglite.bench.suite.machine import Rates
from sglite.cli.parser import CommandParser
from sglite.errors import ConfigError

RATES = Rates(read_bytes_per_s=30e9, flop_per_s=400e9)


@pytest.fixture(autouse=True)
def known_rates(monkeypatch):
    monkeypatch.setattr(command, "measure_rates", lambda dtype, with_int8: RATES)


def run(*words):
    return offline.main([*map(str, words)], parser_class=CommandParser)


def test_the_embedded_model_in_a_table_and_in_files(tmp_path, capsys):
    out, figures = tmp_path / "out", tmp_path / "a.json"
    words = ["--workloads", "W3,W6", "--shrink", 32, "--repeat", 2, "--json", figures, "--out", out]
    assert run(*words, "--page-size", 4, "--max-total-tokens", 4096) == 0
    captured = capsys.readouterr()
    assert "W3 shared prefix" in captured.out
    assert captured.err.count("W6 sglite:") == 2
    found = json.loads(figures.read_text())
    assert found == json.loads((out / "results.json").read_text())
    assert len(found["readings"]) == 4
    assert [len(row["engines"]["sglite"]["runs"]) for row in found["results"].values()] == [2, 2]
    assert "not comparable" in (out / "cpu.md").read_text()
    assert (out / "cpu.svg").read_text().startswith("<svg")


def test_figures_go_to_standard_output_alone(capsys):
    words = ["--workloads", "W3", "--shrink", 64, "--repeat", 1, "--no-warm-up"]
    assert run(*words, "--json", "-", "--max-total-tokens", 2048) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "the embedded model" and found["shrink"] == 64


def test_of_the_usual_workloads_those_run_that_the_model_can_take(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(offline, "run_session", lambda session, _: ran.extend(session.jobs) or 0)
    assert run() == 0
    assert [job.name for job in ran] == ["W2", "W3", "W6"]
    assert "left out: W7 needs a context of 2,160 tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workloads", "W1"], "'W1' is not one of W2"),
        (["--workloads", "W5"], "W5 needs --tiny-model"),
        (["--workloads", "W7"], "W7 needs a context"),
        (["--repeat", "0"], "--repeat: '0' is not allowed"),
        (["--shrink", "x"], "--shrink: 'x'"),
        (["--page-size", "0"], "--page-size"),
        (["--peer", "a=b"], "--peer is not an option"),
        (["--out", "/dev/null/x", "--workloads", "W2"], "--out: /dev/null/x"),
    ],
)
def test_bad_words_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        run(*words)
