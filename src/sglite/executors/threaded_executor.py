"""Runs another executor in a thread of its own, so that the host plans while it computes.

Torch gives up the interpreter lock inside its operators; the planning of step n+1 and the commit
of step n-1 then overlap with step n. Steps are carried out in the order they come.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sglite.executors.executor import Executor
from sglite.sampling import TokenMasks
from sglite.scheduler.plan import StepPlan, StepResult


@dataclass(slots=True)
class ThreadedHandle:
    """The inner executor's handle, and the result, each when the thread has come to it."""

    launched: Future[Any]
    result: Future[StepResult] | None = None


class ThreadedExecutor:
    """The contract of ``Executor``, without waiting in ``launch`` and ``sample``."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="executor")

    def launch(self, plan: StepPlan) -> ThreadedHandle:
        """Queue the forward pass."""
        return ThreadedHandle(self._pool.submit(self._inner.launch, plan))

    def sample(self, handle: ThreadedHandle, masks: TokenMasks | None = None) -> None:
        """Queue the sampling and the copy of its results to the host."""
        handle.result = self._pool.submit(self._sample, handle.launched, masks)

    def collect(self, handle: ThreadedHandle) -> StepResult:
        """Wait for the step. Raises what the inner executor raised."""
        assert handle.result is not None, "a step is sampled before it is collected"
        return handle.result.result()

    def close(self) -> None:
        """Finish what is queued and end the thread."""
        self._pool.shutdown(wait=True)
        self._inner.close()

    def abandon(self) -> None:
        """End the thread when what it is at has ended, without waiting for that."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _sample(self, launched: Future[Any], masks: TokenMasks | None) -> StepResult:
        inner_handle = launched.result()
        self._inner.sample(inner_handle, masks)
        return self._inner.collect(inner_handle)
