"""A device that does nothing until somebody waits: what a GPU may do, on the CPU.

Work that is enqueued waits in a queue; an event or ``synchronize`` that is waited for does all of
it up to there. So code that overwrites a staging buffer too early, or reads a result without having
waited for it, computes something wrong in a test instead of once a week.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch


class LazyEvent:
    """A point in a lazy device's queue."""

    def __init__(self, device: LazyDevice, position: int) -> None:
        self._device = device
        self._position = position

    def wait(self) -> None:
        """Do everything that was enqueued before this point."""
        self._device.catch_up(self._position)


class LazyGraph:
    """Work that goes into the queue as a whole at every replay."""

    def __init__(self, device: LazyDevice, work: Callable[[], object]) -> None:
        self._device = device
        self._work = work

    def replay(self) -> None:
        """Enqueue the work."""
        self._device.num_replays += 1
        self._device.enqueue(self._work)


class LazyDevice:
    """Implements ``sglite.device.Device``. A fault of work is raised by every wait after it.

    ``num_runs``, ``num_captures`` and ``num_replays`` count the calls; ``num_done`` what was done.
    """

    def __init__(self) -> None:
        self.torch_device = torch.device("cpu")
        self.num_runs = self.num_captures = self.num_replays = self.num_done = 0
        self._queue: deque[Callable[[], object]] = deque()
        self._fault: Exception | None = None

    def host_words(self, count: int) -> torch.Tensor:
        """Int32 zeros; not pinned, for there is nothing to copy to."""
        return torch.zeros(count, dtype=torch.int32)

    def run(self, work: Callable[[], object]) -> None:
        """Enqueue ``work``."""
        self.num_runs += 1
        self.enqueue(work)

    def capture(self, work: Callable[[], object]) -> LazyGraph:
        """Keep ``work`` for replays; it is not done now, as little as a GPU would."""
        self.num_captures += 1
        return LazyGraph(self, work)

    def record(self) -> LazyEvent:
        """An event behind all that was enqueued so far."""
        return LazyEvent(self, self.num_done + len(self._queue))

    def synchronize(self) -> None:
        """Do everything that was enqueued."""
        self.catch_up(self.num_done + len(self._queue))

    def memory(self) -> tuple[int, int]:
        """Half of a GiB is free."""
        return 1 << 29, 1 << 30

    def enqueue(self, work: Callable[[], object]) -> None:
        """Work of a run or of a replay."""
        self._queue.append(work)

    @torch.inference_mode()
    def catch_up(self, position: int) -> None:
        """Do what was enqueued up to ``position``, counted from the first work of all."""
        if self._fault is not None:
            raise self._fault
        while self.num_done < position:
            self.num_done += 1
            work = self._queue.popleft()
            try:
                work()
            except Exception as fault:
                self._fault = fault
                raise
