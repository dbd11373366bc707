"""Waits in a thread of its own for an executor that only ever waits in ``collect``.

Who asks for a result can then look at something else meanwhile, such as whether the ranks that the
result depends on still live. Launching and sampling stay where they are: they only enqueue.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sglite.executors.executor import Executor
from sglite.sampling import TokenMasks
from sglite.scheduler.plan import StepPlan, StepResult


@dataclass(slots=True)
class CollectingHandle:
    """The inner executor's handle, and the result when the thread has it."""

    inner: Any
    result: Future[StepResult] | None = None


class CollectingExecutor:
    """The contract of ``Executor``; results are waited for from the moment of sampling."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="collector")

    def launch(self, plan: StepPlan) -> CollectingHandle:
        """Enqueue the forward pass."""
        return CollectingHandle(self._inner.launch(plan))

    def sample(self, handle: CollectingHandle, masks: TokenMasks | None = None) -> None:
        """Enqueue the sampling, and begin to wait for its results."""
        self._inner.sample(handle.inner, masks)
        handle.result = self._pool.submit(self._inner.collect, handle.inner)

    def collect(self, handle: CollectingHandle) -> StepResult:
        """Wait for the step. Raises what the inner executor raised."""
        assert handle.result is not None, "a step is sampled before it is collected"
        return handle.result.result()

    def close(self) -> None:
        """Wait for what was sampled and end the thread."""
        self._pool.shutdown(wait=True)
        self._inner.close()

    def abandon(self) -> None:
        """End the thread when what it waits for has come, without waiting for that."""
        self._pool.shutdown(wait=False, cancel_futures=True)
