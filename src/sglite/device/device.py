"""The contract between an executor and the accelerator that it feeds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import torch


class Event(Protocol):
    """A point in the order of a device's work."""

    def wait(self) -> None:
        """Block the host until everything before this point is done. Raises what it raised."""


class Graph(Protocol):
    """Work that was recorded once and is enqueued by one call."""

    def replay(self) -> None:
        """Enqueue it, on the same tensors as when it was captured."""


class Device(Protocol):
    """One stream of work. Nothing here waits for it but what says so.

    Work is a function of torch calls on tensors of the device. It may run when it is handed over
    or any time later, so it must not read what the host changes meanwhile: numbers of the host
    come through a buffer of :meth:`host_words`, which stays as it is until an event after its copy
    has been waited for.
    """

    torch_device: torch.device
    num_multiprocessors: int
    """Parts that work at once; attention is divided for as many."""

    def host_words(self, count: int) -> torch.Tensor:
        """Int32 ``[count]`` on the host, zero, pinned: copies from and to it need not wait."""

    def stream(self) -> AbstractContextManager[object]:
        """What makes or copies tensors of the device outside of ``run`` does it within this."""

    def run(self, work: Callable[[], object]) -> None:
        """Enqueue ``work`` behind all that was enqueued before."""

    def capture(self, work: Callable[[], object]) -> Graph:
        """Record ``work``; what it allocates is shared with other graphs.

        ``work`` may be done a few times before it is recorded, for what it needs only once, so its
        inputs must be such that this does no harm. Recording does nothing on the device: no tensor
        has a value by it. Python code runs now and not at a replay, so what it reads of the host
        stays as it is now.

        Graphs that share memory must not be replayed at once, and what one leaves in its own
        temporaries is gone with the next replay. Capture the largest first.
        """

    def record(self) -> Event:
        """An event behind all that was enqueued so far."""

    def synchronize(self) -> None:
        """Block the host until the device has nothing to do."""

    def release(self) -> None:
        """Wait, and give memory back that nothing uses and that is kept for later."""

    def forget_graphs(self) -> None:
        """Graphs that are captured from now on share no memory with those before."""

    def memory(self) -> tuple[int, int]:
        """Bytes that are free on the device, and all that it has."""
