"""Devices that make on the CPU the mistakes of their users show, which a GPU does once a week.

``LazyDevice`` does nothing until somebody waits. Work that is enqueued waits in a queue; an event
or ``synchronize`` that is waited for does all of it up to there. So code that overwrites a staging
buffer too early, or reads a result without having waited for it, computes something wrong.

``BusyDevice`` does it too, but by itself and meanwhile, as a GPU does: what a rank enqueued is done
though nobody waits on that rank.

``RecordingDevice`` captures as a GPU does: the operations on tensors, not the Python code around
them. A replay does these again, on the same memory and with the numbers of the host as they were;
what graphs leave in temporaries turns to garbage with every replay.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ("item", "is_nonzero", "_local_scalar_dense", "nonzero", "masked_select", "_unique2")
"""Operations that tell the host a value, or size their result by values: a GPU must wait."""


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
        self.num_multiprocessors = 4
        self.num_runs = self.num_captures = self.num_replays = self.num_done = 0
        self._queue: deque[Callable[[], object]] = deque()
        self._fault: Exception | None = None

    def host_words(self, count: int) -> torch.Tensor:
        """Int32 zeros; not pinned, for there is nothing to copy to."""
        return torch.zeros(count, dtype=torch.int32)

    def stream(self) -> nullcontext[None]:
        """Nothing to choose."""
        return nullcontext()

    def run(self, work: Callable[[], object]) -> None:
        """Enqueue ``work``."""
        self.num_runs += 1
        self.enqueue(work)

    def capture(self, work: Callable[[], object]) -> LazyGraph:
        """Keep ``work`` for replays, and do it once in vain, as a GPU needs it."""
        self.num_captures += 1
        self.enqueue(work)
        return LazyGraph(self, work)

    def record(self) -> LazyEvent:
        """An event behind all that was enqueued so far."""
        return LazyEvent(self, self.num_done + len(self._queue))

    def synchronize(self) -> None:
        """Do everything that was enqueued."""
        self.catch_up(self.num_done + len(self._queue))

    def release(self) -> None:
        """Nothing is kept."""

    def forget_graphs(self) -> None:
        """Nothing is shared."""

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


class BusyDevice(LazyDevice):
    """A lazy device with a thread that does its work; :meth:`close` ends that."""

    def __init__(self) -> None:
        super().__init__()
        self._num_enqueued = 0
        self._changed = threading.Condition()
        self._is_closed = False
        threading.Thread(target=self._work, daemon=True).start()

    def enqueue(self, work: Callable[[], object]) -> None:
        with self._changed:
            self._queue.append(work)
            self._num_enqueued += 1
            self._changed.notify_all()

    def record(self) -> LazyEvent:
        return LazyEvent(self, self._num_enqueued)

    def synchronize(self) -> None:
        self.catch_up(self._num_enqueued)

    def catch_up(self, position: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.num_done >= position or self._fault is not None)
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        """Nothing more is done."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @torch.inference_mode()
    def _work(self) -> None:
        while self._fault is None:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._is_closed)
                if self._is_closed:
                    return
                work = self._queue.popleft()
            fault = None
            try:
                work()
            except Exception as error:  # noqa: BLE001  who waits gets it
                fault = error
            with self._changed:
                self._fault = fault
                self.num_done += 1
                self._changed.notify_all()


class RecordingDevice(LazyDevice):
    """A lazy device whose graphs are operations on tensors; see the module."""

    def __init__(self) -> None:
        super().__init__()
        self._recordings: list[Recording] = []

    @torch.inference_mode()
    def capture(self, work: Callable[[], object]) -> LazyGraph:
        """Do ``work`` once and record it; AssertionError where it waits for a value."""
        self.synchronize()
        recording = Recording()
        with recording:
            work()
        self._recordings.append(recording)
        self._spoil_temporaries()
        self.num_captures += 1
        return LazyGraph(self, lambda: self._replay(recording))

    def _replay(self, recording: Recording) -> None:
        self._spoil_temporaries()
        recording.replay()

    def _spoil_temporaries(self) -> None:
        for recording in self._recordings:
            recording.spoil_temporaries()


class Recording(TorchDispatchMode):
    """Operations with their operands and results, which keep their places in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._operations: list[tuple[Callable[..., object], object, dict[str, object], object]] = []
        self._temporaries: dict[int, torch.Tensor] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Do the operation and write it down."""
        name = func.__name__.split(".")[0]
        assert name not in WAITS, f"{name} in a capture: the host cannot wait for its value"
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self._operations.append((func, args, kwargs, result))
        known = {memory_of(tensor) for tensor in tensors_in((args, kwargs))}
        for tensor in tensors_in(result):
            if memory_of(tensor) not in known:
                self._temporaries[memory_of(tensor)] = tensor
        return result

    def replay(self) -> None:
        """Do the operations again; each result goes where it went the first time."""
        for func, args, kwargs, first_result in self._operations:
            result = func(*args, **kwargs)
            for old, new in zip(tensors_in(first_result), tensors_in(result), strict=True):
                if memory_of(old) != memory_of(new):
                    old.copy_(new)

    def spoil_temporaries(self) -> None:
        """What the operations allocated holds NaN, or the bytes of it."""
        for tensor in self._temporaries.values():
            (tensor if tensor.dim() else tensor[None]).view(torch.uint8).fill_(255)


def tensors_in(tree: object) -> list[torch.Tensor]:
    """The tensors among the leaves of nested containers."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def memory_of(tensor: torch.Tensor) -> int:
    """Where the storage begins that a tensor is a view of."""
    return tensor.untyped_storage().data_ptr()
