from __future__ import annotations

import time

import pytest

from sglite.bench.gpu_suite.parts import machine, peers
from sglite.bench.gpu_suite.results import DONE, RUNNING, try_read_part
from sglite.bench.gpu_suite.suite import LeftOutError
from sglite.bench.gpu_suite.worker import MARGIN_S, main, run_parts


def order(tmp_path, **parts):
    ends_at_s = time.time() + 60
    return {"out": str(tmp_path), "is_dry_run": True, "ends_at_s": ends_at_s, "parts": parts}


def test_parts_run_in_turn_and_say_how_they_ended(tmp_path, monkeypatch):
    left: list[float] = []

    def leave_out(suite):
        raise LeftOutError("no room")

    monkeypatch.setattr(machine, "run", lambda suite: left.append(suite.left_s))
    monkeypatch.setattr(peers, "run", leave_out)
    run_parts(order(tmp_path, machine=20.0, peers=20.0))
    assert 20 - MARGIN_S - 1 < left[0] <= 20 - MARGIN_S
    assert try_read_part(tmp_path, "machine").status == DONE
    assert try_read_part(tmp_path, "peers").status == "left out: no room"


def test_a_fault_ends_the_process_with_the_part_unfinished(tmp_path, monkeypatch):
    def fail(suite):
        raise RuntimeError("broken")

    monkeypatch.setattr(machine, "run", fail)
    with pytest.raises(RuntimeError, match="broken"):
        run_parts(order(tmp_path, machine=20.0, peers=20.0))
    assert try_read_part(tmp_path, "machine").status == RUNNING
    assert try_read_part(tmp_path, "peers") is None


def test_no_parts_are_no_work():
    assert main(['{"out": ".", "is_dry_run": true, "ends_at_s": 0, "parts": {}}']) == 0
