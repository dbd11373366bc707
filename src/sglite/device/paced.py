"""A device that takes its time and computes nothing: what the host costs beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch

H200_MULTIPROCESSORS = 132

SPIN_S = 0.0002
"""A sleep may end so late; the rest is waited for awake, as on a real device."""


@dataclass(frozen=True, slots=True)
class PacedEvent:
    """Done at a time of ``time.perf_counter``."""

    done_s: float

    def wait(self) -> None:
        """Block until then."""
        left_s = self.done_s - time.perf_counter()
        if left_s > SPIN_S:
            time.sleep(left_s - SPIN_S)
        while time.perf_counter() < self.done_s:
            pass


class PacedGraph:
    """Keeps its device busy for one step."""

    def __init__(self, device: PacedDevice) -> None:
        self._device = device

    def replay(self) -> None:
        """One more step, behind those before."""
        self._device.begin_step()


class PacedDevice:
    """Implements :class:`sglite.device.Device` for a device whose graphs take ``step_s`` each.

    Other work takes no time, and none is done: what it would have written stays zero. ``gaps_s``
    lists for how long the device had nothing to do before each step.
    """

    def __init__(self, step_s: float) -> None:
        self.torch_device = torch.device("cpu")
        self.num_multiprocessors = H200_MULTIPROCESSORS
        self.step_s = step_s
        self.gaps_s: list[float] = []
        self._busy_until_s = time.perf_counter()

    def host_words(self, count: int) -> torch.Tensor:
        """Int32 zeros."""
        return torch.zeros(count, dtype=torch.int32)

    def stream(self) -> nullcontext[None]:
        """Nothing to choose."""
        return nullcontext()

    def run(self, work: Callable[[], object]) -> None:
        """Not done."""

    def capture(self, work: Callable[[], object]) -> PacedGraph:
        """A graph of any work takes a step."""
        return PacedGraph(self)

    def begin_step(self) -> None:
        """Be busy for ``step_s`` more."""
        now_s = time.perf_counter()
        self.gaps_s.append(max(0.0, now_s - self._busy_until_s))
        self._busy_until_s = max(now_s, self._busy_until_s) + self.step_s

    def record(self) -> PacedEvent:
        """Done when all steps so far are."""
        return PacedEvent(self._busy_until_s)

    def synchronize(self) -> None:
        """Wait for all steps."""
        self.record().wait()

    def release(self) -> None:
        """Nothing is kept."""

    def forget_graphs(self) -> None:
        """Nothing is shared."""

    def memory(self) -> tuple[int, int]:
        """Half of a GiB is free."""
        return 1 << 29, 1 << 30
