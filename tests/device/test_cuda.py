"""What the device of NVIDIA GPUs asks torch for, in which order; with a GPU, that it works."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from sglite.device import Device
from sglite.device.cuda import WARM_UPS, CudaDevice


class FakeCuda:
    """Stands for ``torch.cuda``: notes what is asked for, and on which stream work is done."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.current = "default"

    def Stream(self, device):
        self.log.append(f"stream on {device}")
        return "own"

    @contextmanager
    def device(self, device):
        yield

    def get_device_properties(self, device):
        return SimpleNamespace(multi_processor_count=132)

    def graph_pool_handle(self):
        return "memory"

    @contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream
        yield
        self.current = before

    @contextmanager
    def graph(self, graph, *, pool, stream, capture_error_mode):
        self.log.append(f"begin capture: {pool}, {stream}, {capture_error_mode}")
        before, self.current = self.current, f"capture on {stream}"
        yield
        self.current = before
        self.log.append("end capture")

    def CUDAGraph(self):
        return FakeGraph(self)

    def Event(self, *, blocking):
        self.log.append(f"event, blocking={blocking}")
        return FakeEvent(self.log)

    def synchronize(self, device):
        self.log.append(f"synchronize {device}")

    def mem_get_info(self, device):
        return 3, 8


class FakeGraph:
    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda

    def replay(self):
        self.cuda.log.append(f"replay on {self.cuda.current}")


class FakeEvent:
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def record(self, stream):
        self.log.append(f"record on {stream}")

    def synchronize(self):
        self.log.append("wait")


@pytest.fixture
def cuda(monkeypatch) -> FakeCuda:
    fake = FakeCuda([])
    monkeypatch.setattr(torch, "cuda", fake)
    return fake


def test_work_is_done_on_the_devices_own_stream(cuda):
    device: Device = CudaDevice(1)
    assert device.torch_device == torch.device("cuda:1")

    device.run(lambda: cuda.log.append(f"work on {cuda.current}"))

    assert cuda.log == ["stream on cuda:1", "work on own"]
    assert cuda.current == "default"


def test_work_is_warmed_up_and_then_captured_on_the_same_stream_and_memory(cuda):
    device = CudaDevice()
    del cuda.log[:]

    graph = device.capture(lambda: cuda.log.append(f"work on {cuda.current}"))
    assert cuda.log == [
        "synchronize cuda:0",
        *["work on own"] * WARM_UPS,
        "begin capture: memory, own, thread_local",
        "work on capture on own",
        "end capture",
    ]

    del cuda.log[:]
    graph.replay()
    assert cuda.log == ["replay on own"]


def test_an_event_is_of_the_own_stream_and_spins(cuda):
    device = CudaDevice()
    del cuda.log[:]

    event = device.record()
    assert cuda.log == ["event, blocking=False", "record on own"]
    event.wait()
    assert cuda.log[2:] == ["wait"]


def test_synchronize_waits_for_the_whole_device_and_memory_is_the_devices(cuda):
    device = CudaDevice()
    del cuda.log[:]

    device.synchronize()

    assert cuda.log == ["synchronize cuda:0"]
    assert device.memory() == (3, 8)


@pytest.mark.gpu
def test_a_gpu_copies_captures_and_replays_in_order():
    device = CudaDevice()
    words = device.host_words(4)
    back = device.host_words(4)
    numbers = torch.zeros(4, dtype=torch.int32, device=device.torch_device)
    graph = device.capture(lambda: numbers.mul_(3))
    for step in range(3):
        words.fill_(step + 1)
        device.run(lambda: numbers.copy_(words, non_blocking=True))
        graph.replay()
        graph.replay()
        device.run(lambda: back.copy_(numbers, non_blocking=True))
        device.record().wait()

        assert words.is_pinned()
        assert back.tolist() == [9 * (step + 1)] * 4
    free_bytes, total_bytes = device.memory()
    assert 0 < free_bytes < total_bytes
