from __future__ import annotations

import threading

import pytest
import torch

from sglite.executors.threaded_executor import ThreadedExecutor
from sglite.sampling import TokenMasks
from sglite.scheduler.plan import StepPlan, StepResult

WAIT_S = 20.0


class SlowExecutor:
    """Computes only once ``go`` is set; notes what ran where."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.calls: list[tuple[str, int]] = []
        self.threads: set[str] = set()
        self.fails_in = ""
        self.masks: list[object] = []

    def launch(self, plan: StepPlan) -> StepPlan:
        assert self.go.wait(WAIT_S)
        self._note("launch", plan)
        return plan

    def sample(self, handle: StepPlan, masks: object = None) -> None:
        self.masks.append(masks)
        self._note("sample", handle)

    def collect(self, handle: StepPlan) -> StepResult:
        self._note("collect", handle)
        return StepResult([handle.step_id])

    def close(self) -> None:
        self.calls.append(("close", 0))

    def _note(self, name: str, plan: StepPlan) -> None:
        self.calls.append((name, plan.step_id))
        self.threads.add(threading.current_thread().name)
        if self.fails_in == name:
            raise RuntimeError(f"{name} failed")


def submit(executor: ThreadedExecutor, step_id: int):
    handle = executor.launch(StepPlan(step_id, 1))
    executor.sample(handle)
    return handle


def test_launch_and_sample_do_not_wait_for_the_device() -> None:
    inner = SlowExecutor()
    executor = ThreadedExecutor(inner)
    handles = [submit(executor, step_id) for step_id in (1, 2)]
    assert inner.calls == []  # and yet both steps are under way
    inner.go.set()
    assert [executor.collect(handle).token_ids for handle in handles] == [[1], [2]]
    executor.close()


def test_masks_go_with_their_step() -> None:
    inner = SlowExecutor()
    inner.go.set()
    executor = ThreadedExecutor(inner)
    masks = TokenMasks([0], torch.zeros(1, 1, dtype=torch.int32))
    for given in (None, masks):
        handle = executor.launch(StepPlan(1, 1))
        executor.sample(handle, given)
        executor.collect(handle)
    assert inner.masks == [None, masks]
    executor.close()


def test_steps_run_in_order_in_one_thread() -> None:
    inner = SlowExecutor()
    executor = ThreadedExecutor(inner)
    handles = [submit(executor, step_id) for step_id in range(1, 6)]
    inner.go.set()
    for handle in handles:
        executor.collect(handle)
    assert inner.calls == [
        (name, step) for step in range(1, 6) for name in ("launch", "sample", "collect")
    ]
    assert len(inner.threads) == 1
    assert threading.current_thread().name not in inner.threads
    executor.close()


@pytest.mark.parametrize("where", ["launch", "sample", "collect"])
def test_a_fault_comes_out_of_collect(where: str) -> None:
    inner = SlowExecutor()
    inner.fails_in = where
    inner.go.set()
    executor = ThreadedExecutor(inner)
    handle = submit(executor, 1)
    with pytest.raises(RuntimeError, match=f"{where} failed"):
        executor.collect(handle)
    executor.close()


def test_close_finishes_what_is_queued_and_leaves_no_thread() -> None:
    inner = SlowExecutor()
    executor = ThreadedExecutor(inner)
    submit(executor, 1)
    inner.go.set()
    executor.close()
    assert inner.calls[-2:] == [("collect", 1), ("close", 0)]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("executor")]


def test_a_step_must_be_sampled_before_it_is_collected() -> None:
    inner = SlowExecutor()
    inner.go.set()
    executor = ThreadedExecutor(inner)
    handle = executor.launch(StepPlan(1, 1))
    with pytest.raises(AssertionError, match="sampled before"):
        executor.collect(handle)
    executor.close()
