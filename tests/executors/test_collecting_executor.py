from __future__ import annotations

import threading
from typing import Any

import pytest

from sglite.executors.collecting_executor import CollectingExecutor
from sglite.sampling import TokenMasks
from sglite.scheduler.plan import StepPlan, StepResult


class Slow:
    """An executor whose steps end when they are let go."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.let_go = threading.Event()
        self.error: Exception | None = None

    def launch(self, plan: StepPlan) -> int:
        self.calls.append(("launch", plan.step_id, threading.current_thread()))
        return plan.step_id

    def sample(self, handle: int, masks: TokenMasks | None = None) -> None:
        self.calls.append(("sample", handle, threading.current_thread()))

    def collect(self, handle: int) -> StepResult:
        assert self.let_go.wait(10)
        if self.error is not None:
            raise self.error
        self.calls.append(("collect", handle, threading.current_thread()))
        return StepResult([handle])

    def close(self) -> None:
        self.calls.append("close")


def test_only_waiting_goes_to_another_thread() -> None:
    inner = Slow()
    executor = CollectingExecutor(inner)
    handles = []
    for step_id in (1, 2):
        handles.append(executor.launch(StepPlan(step_id, 1)))
        executor.sample(handles[-1])
    assert [handle.result.done() for handle in handles if handle.result] == [False, False]
    inner.let_go.set()
    assert [executor.collect(handle).token_ids for handle in handles] == [[1], [2]]
    executor.close()
    ours = threading.current_thread()
    assert [(name, step_id) for name, step_id, thread in inner.calls[:-1] if thread is ours] == [
        ("launch", 1), ("sample", 1), ("launch", 2), ("sample", 2)
    ]  # fmt: skip
    assert [call[:2] for call in inner.calls if call[0] == "collect"] == [
        ("collect", 1), ("collect", 2)
    ]  # fmt: skip
    assert inner.calls[-1] == "close"


def test_what_goes_wrong_is_raised_to_who_collects() -> None:
    inner = Slow()
    inner.error = ArithmeticError("a broken kernel")
    inner.let_go.set()
    executor = CollectingExecutor(inner)
    handle = executor.launch(StepPlan(1, 1))
    executor.sample(handle)
    with pytest.raises(ArithmeticError, match="a broken kernel"):
        executor.collect(handle)
    executor.close()


def test_abandoned_it_does_not_wait() -> None:
    inner = Slow()
    executor = CollectingExecutor(inner)
    handle = executor.launch(StepPlan(1, 1))
    executor.sample(handle)
    executor.abandon()
    assert "close" not in inner.calls
    assert handle.result is not None and not handle.result.done()
    inner.let_go.set()
