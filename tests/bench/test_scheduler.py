"""The benchmark's load is what it says: so many running, so many waiting, all the time."""

from __future__ import annotations

import pytest

from sglite.bench import scheduler as bench
from sglite.cli.parser import CommandParser
from sglite.errors import ConfigError
from sglite.scheduler.invariants import check_scheduler


@pytest.mark.parametrize("policy", ["fcfs", "lpm"])
def test_load_stays_as_stated(policy: str) -> None:
    load = bench.Load(bench.Case(policy, num_running=8, num_waiting=20))
    timing = load.run(200)
    assert 0 < timing.median_us <= timing.p90_us <= timing.max_us
    assert len(load.scheduler.batch.running) == 8
    assert len(load.scheduler.queue) == 20
    assert load.num_finished > 0, "requests end and arrive while the steps are timed"
    check_scheduler(load.scheduler)


def test_every_case_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "CASES", (bench.Case("fcfs", 1, 0), bench.Case("lpm", 2, 3)))
    assert bench.main(["--steps", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["fcfs", "1", "0"], ["lpm", "2", "3"]]


@pytest.mark.parametrize("words", [["--steps", "0"], ["--steps", "x"], ["--stepz", "1"]])
def test_bad_words_are_refused_as_by_every_command(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="--step"):
        bench.main(words, parser_class=CommandParser)
