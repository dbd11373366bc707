"""A cold start is a process of its own that is given this command's options."""

from __future__ import annotations

import json

from sglite.bench import latency
from sglite.bench.suite import command
from sglite.bench.suite.engine import Answers
from sglite.bench.suite.machine import Rates
from sglite.cli.parser import CommandParser

RATES = Rates(read_bytes_per_s=30e9, flop_per_s=400e9)


class FakeProcess:
    """Stands in for the process; keeps what it was started with."""

    version = "sglite x"
    started: list[object] = []  # noqa: RUF012 - of this test alone

    def __init__(self, peer_command, model, options, **_):
        self.started.append((peer_command.adapter.name, model, options))

    def load(self):
        return 0.5

    def stream(self, ask):
        return Answers([[1]], 0.1, 0.1)

    def close(self):
        pass


def test_cold_starts_and_streams(monkeypatch, capsys):
    monkeypatch.setattr(command, "measure_rates", lambda dtype, with_int8: RATES)
    monkeypatch.setattr(command, "PeerProcess", FakeProcess)
    words = ["--workloads", "W0,W1,W4", "--shrink", "32", "--repeat", "1", "--json", "-"]
    words += ["--max-total-tokens", "512"]
    assert latency.main(words, parser_class=CommandParser) == 0
    found = json.loads(capsys.readouterr().out)["results"]
    ((cold,), (stream,), (prefill,)) = (
        each["engines"]["sglite"]["runs"] for each in found.values()
    )
    assert cold["load_s"] == 0.5 and cold["tokens_per_s"] is None
    assert stream["num_out"] == 4 and 0 < stream["first_s"] < stream["seconds"]
    assert prefill["num_in"] == 64 and prefill["headline_s"] == prefill["first_s"]
    ((adapter, model, options),) = FakeProcess.started
    assert (adapter, model, options["max_total_tokens"]) == ("own.py", None, 512)
    assert not options["skip_tokenizer_init"], "a cold start loads the tokenizer too"
