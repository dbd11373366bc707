"""What a machine offers besides its CPU: the accelerators that torch can use."""

from __future__ import annotations

from dataclasses import dataclass

OLDEST_CAPABILITY = (8, 0)
"""Compute capability from which bfloat16 and asynchronous copies are there (Ampere)."""


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """One CUDA GPU. ``capability`` is its compute capability, as ``(9, 0)``."""

    name: str
    total_bytes: int
    capability: tuple[int, int]

    @property
    def is_new_enough(self) -> bool:
        """True where ``device`` auto takes it."""
        return self.capability >= OLDEST_CAPABILITY


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareFacts:
    """Accelerators. ``cuda`` are the GPUs by number; ``why_no_cuda`` says why there are none."""

    has_mps: bool = False
    cuda: tuple[GpuFacts, ...] = ()
    why_no_cuda: str = "torch sees no CUDA device"


def detect_hardware() -> HardwareFacts:
    """The facts of this machine; imports torch."""
    import torch

    has_mps = torch.backends.mps.is_available()
    if torch.version.cuda is None and torch.version.hip is None:
        why = f"torch {torch.__version__} is built without CUDA"
        return HardwareFacts(has_mps=has_mps, why_no_cuda=why)
    if not torch.cuda.is_available():
        return HardwareFacts(has_mps=has_mps)
    devices = [torch.cuda.get_device_properties(each) for each in range(torch.cuda.device_count())]
    cuda = tuple(
        GpuFacts(each.name, each.total_memory, (each.major, each.minor)) for each in devices
    )
    return HardwareFacts(has_mps=has_mps, cuda=cuda)
