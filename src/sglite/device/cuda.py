"""An NVIDIA GPU through torch.

All work goes through one stream of the device's own, never through torch's default stream, which
knows nothing of it. Whoever makes tensors outside of :meth:`CudaDevice.run` (weights, the KV pool,
buffers) calls ``synchronize`` once before work reads them; a capture does so by itself.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch

WARM_UPS = 2
"""Times that work is done before it is captured: kernels are compiled and loaded, and libraries get
their workspaces, in the first, which a capture could not record; the second is as all that follow.
"""


class CudaEvent:
    """A point in the device's stream.

    Waiting spins, without the GIL. A sleeping thread would give its core away and wake tens of
    microseconds late, at every step; a step of a small model takes a few hundred.
    """

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._event = torch.cuda.Event(blocking=False)  # type: ignore[no-untyped-call]
        self._event.record(stream)

    def wait(self) -> None:
        """Block the host until everything before this point is done."""
        self._event.synchronize()


class CudaGraph:
    """A captured graph; every replay goes into the stream that it was captured on."""

    def __init__(self, graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream) -> None:
        self._graph = graph
        self._stream = stream

    def replay(self) -> None:
        """Enqueue the captured work."""
        with torch.cuda.stream(self._stream):
            self._graph.replay()


class CudaDevice:
    """GPU number ``index``. Implements :class:`sglite.device.Device`."""

    def __init__(self, index: int = 0) -> None:
        self.torch_device = torch.device("cuda", index)
        properties = torch.cuda.get_device_properties(self.torch_device)
        self.num_multiprocessors = properties.multi_processor_count
        self._stream = torch.cuda.Stream(self.torch_device)  # type: ignore[no-untyped-call]
        self._graph_memory = torch.cuda.graph_pool_handle()

    def host_words(self, count: int) -> torch.Tensor:
        """Int32 ``[count]``, zero, pinned."""
        return torch.zeros(count, dtype=torch.int32, pin_memory=True)

    def stream(self) -> torch.cuda.StreamContext:
        """The device's stream is the current one within this."""
        return torch.cuda.stream(self._stream)

    def run(self, work: Callable[[], object]) -> None:
        """Call ``work`` with the device's stream as the current one."""
        with torch.cuda.stream(self._stream):
            work()

    def capture(self, work: Callable[[], object]) -> CudaGraph:
        """Do ``work`` :data:`WARM_UPS` times, then record it without doing it.

        Other threads may go on meanwhile, as long as they leave this device alone.
        """
        self.synchronize()
        for _ in range(WARM_UPS):
            self.run(work)
        graph = torch.cuda.CUDAGraph()
        # Torch's capture waits for the current device, which may be another one.
        with (
            torch.cuda.device(self.torch_device),
            torch.cuda.graph(
                graph,
                pool=self._graph_memory,
                stream=self._stream,
                capture_error_mode="thread_local",
            ),
        ):
            work()
        return CudaGraph(graph, self._stream)

    def record(self) -> CudaEvent:
        """An event behind all that was enqueued so far."""
        return CudaEvent(self._stream)

    def synchronize(self) -> None:
        """Block the host until the whole device is idle, other streams too."""
        torch.cuda.synchronize(self.torch_device)

    def release(self) -> None:
        """Wait for the device, and give memory back that torch keeps for later allocations."""
        gc.collect()
        self.synchronize()
        with torch.cuda.device(self.torch_device):
            torch.cuda.empty_cache()

    def forget_graphs(self) -> None:
        """Graphs that are captured from now on share no memory with those before."""
        self._graph_memory = torch.cuda.graph_pool_handle()

    def memory(self) -> tuple[int, int]:
        """Free and total bytes; what torch keeps for later allocations is not free."""
        free_bytes, total_bytes = torch.cuda.mem_get_info(self.torch_device)
        return free_bytes, total_bytes
