from __future__ import annotations

import pytest

from sglite.bench.gpu_suite.results import (
    DONE,
    RUNNING,
    Check,
    Figure,
    PartResult,
    Recorder,
    part_path,
    read_results,
    try_read_part,
    write_results,
)


def test_share_and_ratio_follow_the_unit():
    assert Figure("a", 50.0, "tok/s", 200.0).share == 0.25
    assert Figure("a", 50.0, "ms", 25.0).share == 0.5
    assert Figure("a", 50.0, "ms").share is None
    assert Figure("a", 30.0, "GB/s").ratio(Figure("a", 20.0, "GB/s")) == 1.5
    assert Figure("a", 30.0, "us").ratio(Figure("a", 20.0, "us")) == pytest.approx(2 / 3)
    assert Figure("a", 30.0, "us").ratio(Figure("a", 0.0, "us")) is None


def test_file_holds_what_was_noted_so_far(tmp_path):
    assert try_read_part(tmp_path, "single") is None
    recorder = Recorder(tmp_path, "single")
    assert try_read_part(tmp_path, "single").status == RUNNING
    recorder.figure("a", 1.0, "ms", 0.5)
    recorder.check("b", False, "why")
    recorder.detail("c", [1])
    found = try_read_part(tmp_path, "single")
    assert (found.figure("a"), found.figure("z")) == (Figure("a", 1.0, "ms", 0.5), None)
    assert found.failed_checks == [Check("b", False, "why")]
    assert found.details == {"c": [1]}
    recorder.end()
    assert try_read_part(tmp_path, "single").status == DONE
    assert [path.name for path in part_path(tmp_path, "single").parent.iterdir()] == ["single.json"]


def test_an_unknown_unit_is_refused(tmp_path):
    with pytest.raises(AssertionError):
        Recorder(tmp_path, "single").figure("a", 1.0, "furlongs")


def test_all_parts_come_back_from_one_file(tmp_path):
    parts = [PartResult("a", DONE, 1.0, [Figure("x", 1.0, "s")], [Check("y", True)], {"z": 1})]
    write_results(tmp_path, {"date": "today"}, parts)
    assert read_results(tmp_path / "results.json") == ({"date": "today"}, parts)
