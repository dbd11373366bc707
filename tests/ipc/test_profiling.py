from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import torch

from sglite.errors import RequestError
from sglite.ipc.profiling import StepProfiler
from sglite.observability.events import Committed, EventStream, Flushed


def compute() -> None:
    torch.mm(torch.ones(8, 8), torch.ones(8, 8))


def count_products(path: Path) -> int:
    return sum(
        event.get("name") == "aten::mm" for event in json.loads(path.read_text())["traceEvents"]
    )


def test_a_recording_holds_what_every_thread_computes(tmp_path: Path) -> None:
    path, profiler = tmp_path / "trace.json", StepProfiler(EventStream())
    profiler.start(str(path), None)
    compute()
    other = threading.Thread(target=compute)
    other.start()
    other.join()
    assert profiler.is_recording
    assert profiler.stop() == str(path)
    compute()
    assert count_products(path) == 2 and not profiler.is_recording


def test_a_recording_of_some_steps_ends_by_itself(tmp_path: Path) -> None:
    events = EventStream()
    path, profiler = tmp_path / "trace.json", StepProfiler(events)
    profiler.start(str(path), 2)
    for step in range(4):
        compute()
        events.emit(Flushed(0))
        events.emit(Committed(step, [], 0.0))
    assert count_products(path) == 2
    assert not profiler.is_recording and not events.active


def test_one_at_a_time_and_none_without_a_start(tmp_path: Path) -> None:
    profiler = StepProfiler(EventStream())
    with pytest.raises(RequestError, match="no profile is being recorded"):
        profiler.stop()
    with pytest.raises(RequestError, match="at least 1"):
        profiler.start(str(tmp_path / "trace.json"), 0)
    with pytest.raises(RequestError, match="cannot be written"):
        profiler.start(str(tmp_path / "missing" / "trace.json"), None)
    profiler.start(str(tmp_path / "one.json"), None)
    with pytest.raises(RequestError, match="stop it first"):
        profiler.start(str(tmp_path / "two.json"), None)
    profiler.stop()
    profiler.start(str(tmp_path / "two.json"), None)
    profiler.stop()
