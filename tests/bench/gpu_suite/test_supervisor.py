from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from sglite.bench.gpu_suite import supervisor
from sglite.bench.gpu_suite.results import DONE, PartResult, try_read_part
from sglite.bench.gpu_suite.supervisor import Order, supervise

FAKE = str(Path(__file__).parent / "fake_worker.py")


@pytest.fixture
def run(tmp_path):
    """Supervises parts with their seconds; results, and the names that were heard each time."""

    def run(parts: dict[str, float], *, seconds: float = 60.0, worker: str = FAKE):
        heard: list[list[str]] = []
        order = Order(
            out=tmp_path,
            parts=parts,
            ends_at_s=time.time() + seconds,
            is_dry_run=True,
            worker=(sys.executable, worker),
        )
        results = supervise(order, lambda results: heard.append([each.name for each in results]))
        return results, heard

    return run


def test_a_part_that_fails_costs_nothing_but_itself(run, tmp_path):
    results, heard = run({"first": 30, "fails": 30, "last": 30})
    assert [(each.name, each.status) for each in results] == [
        ("first", DONE),
        ("fails", "failed"),
        ("last", DONE),
    ]
    assert "the device fell off" in results[1].error
    assert results[1].figure("reached"), "what it found before is kept"
    assert heard[-1] == ["first", "fails", "last"]
    assert try_read_part(tmp_path, "fails").status == "failed"


def test_a_part_that_hangs_is_stopped(run, monkeypatch):
    monkeypatch.setattr(supervisor, "START_S", 1.5)
    results, _ = run({"hangs": 1.5, "last": 30})
    assert [each.status for each in results] == ["timed out", DONE]
    assert "waiting for nothing" in results[0].error


def test_the_whole_ends_in_time(run):
    start_s = time.time()
    results, _ = run({"hangs": 300, "last": 300}, seconds=3)
    assert time.time() - start_s < 30
    assert [each.status for each in results] == ["timed out", "left out: the time was up"]


def test_a_process_that_never_begins_fails_its_first_part(run, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit('no such device')")
    results, _ = run({"first": 30}, worker=str(broken))
    assert results == [PartResult("first", "failed", error=results[0].error)]
    assert "no such device" in results[0].error
