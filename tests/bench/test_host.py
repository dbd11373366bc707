"""The benchmark times the steps that it says, of an engine that decodes; not how long they take."""

from __future__ import annotations

import pytest

from sglite.bench import host as bench
from sglite.cli.parser import CommandParser
from sglite.device.paced import PacedDevice
from sglite.engine.engine import Engine
from sglite.errors import ConfigError

BATCH = 8


@pytest.fixture
def device() -> PacedDevice:
    return PacedDevice(0.0)


@pytest.fixture
def engine(device: PacedDevice) -> Engine:
    engine = bench.make_engine(device, batch=BATCH)
    bench.fill(engine, batch=BATCH)
    return engine


def test_all_sequences_decode_when_the_timing_begins(engine: Engine) -> None:
    running = engine.scheduler.batch.running
    assert len(running) == BATCH
    assert not engine.scheduler.queue
    assert all(sequence.num_output_tokens > 0 for sequence in running)


def test_every_step_of_the_host_is_timed_in_its_parts(engine: Engine, device: PacedDevice) -> None:
    before = engine.counters.num_output_tokens
    times = bench.measure_host(engine, num_steps=5)
    assert [len(part) for part in (times.plan, times.stage, times.commit)] == [5, 5, 5]
    assert all(seconds > 0 for seconds in times.total)
    assert times.total == [sum(p) for p in zip(times.plan, times.stage, times.commit, strict=True)]
    # What was in flight is collected first, then each step is by itself.
    assert engine.scheduler.num_open_steps == 0
    assert engine.counters.num_output_tokens - before >= 5 * BATCH


def test_gaps_are_those_of_the_steps_that_were_asked_for(
    engine: Engine, device: PacedDevice
) -> None:
    num_before = len(device.gaps_s)
    gaps = bench.measure_gaps(engine, device, num_steps=5)
    assert num_before > 0
    assert len(gaps) == 5
    assert all(seconds >= 0 for seconds in gaps)
    engine.step()
    assert len(gaps) == 5, "a list of its own"


def test_both_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--steps", "5", "--batch", "8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "one decode step of 8 sequences, host alone, 5 steps"
    assert [line.split()[0] for line in lines[1:5]] == ["plan", "stage", "commit", "total"]
    assert lines[5] == "behind a device that takes 4 ms a step"
    assert lines[6].split()[0] == "idle"
    assert all("median" in line and "max" in line for line in (*lines[1:5], lines[6]))


def test_a_spread_is_of_the_ordered_seconds() -> None:
    spread = bench._spread([10e-6, 1e-6, 2e-6, 7e-6])
    assert spread.split() == "median 4 us mean 5 us p90 10 us max 10 us".split()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0"], "--steps: '0' is not allowed; give an integer from 1 to 900"),
        (["--steps", "901"], "1 to 900"),
        (["--steps", "x"], "--steps: 'x'"),
        (["--batch", "-3"], "--batch: '-3'"),
        (["--batch", "4097"], "--batch: '4097' .* 1 to 4,096"),
        (["--batches", "1"], "--batches"),
    ],
)
def test_bad_words_are_refused_as_by_every_command(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bench.main(words, parser_class=CommandParser)
