from __future__ import annotations

from sglite.bench.gpu_suite.compare import ratio_table
from sglite.bench.gpu_suite.results import DONE, Figure, PartResult


def part(name: str, *figures: Figure) -> PartResult:
    return PartResult(name, DONE, figures=[*figures])


def test_ratio_above_one_is_faster_whatever_the_unit():
    before = [
        part("offline", Figure("run 1", 100.0, "tok/s")),
        part("host", Figure("plan", 50.0, "us"), Figure("gone", 1.0, "us")),
    ]
    after = [
        part("offline", Figure("run 1", 150.0, "tok/s"), Figure("plan", 1.0, "us")),
        part("host", Figure("plan", 25.0, "us")),
    ]
    lines = ratio_table(before, after).split("\n")
    assert lines[2:] == [
        "| offline: run 1 | 100 tok/s | 150 tok/s | 1.500 |",
        "| host: plan | 50.0 us | 25.0 us | 2.000 |",
    ]
