"""What the Triton kernels share: whether they can run, and sizes of their blocks.

Triton is imported where a kernel is first used, never when a module of sglite is: a machine without
it, or without a GPU, does not notice.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache

import torch


def is_installed() -> bool:
    """True where Triton can be imported."""
    return importlib.util.find_spec("triton") is not None


def is_interpreted() -> bool:
    """True where Triton was told to run its kernels on a CPU (``TRITON_INTERPRET=1``)."""
    if not is_installed():
        return False
    import triton

    return bool(triton.knobs.runtime.interpret)


def runs_on(tensor: torch.Tensor) -> bool:
    """True where a Triton kernel can work on ``tensor`` in place of its reference.

    Not while torch.compile traces, which makes kernels of references by itself.
    """
    return tensor.is_cuda and not torch.compiler.is_compiling() and is_installed()


def next_power_of_2(number: int) -> int:
    """The smallest power of two that is not below ``number``, at least 1."""
    return 1 << max(0, number - 1).bit_length()


def dependent_launch(tensor: torch.Tensor) -> dict[str, bool]:
    """What a kernel over ``tensor`` is launched with to start early (``triton_dependent``)."""
    if _can_start_early(tensor.device):
        return {"IS_DEPENDENT": True, "launch_pdl": True}
    return {"IS_DEPENDENT": False}


@lru_cache(maxsize=16)
def _can_start_early(device: torch.device) -> bool:
    """True from compute capability 9.0 (Hopper) on."""
    is_nvidia = device.type == "cuda" and torch.version.hip is None
    return is_nvidia and torch.cuda.get_device_capability(device) >= (9, 0)


AMPLE_SHARED_BYTES = 160 << 10
"""Of a block of threads on the GPUs of data centres; others have 99 KiB, AMD's 64."""


@lru_cache(maxsize=16)
def has_little_shared_memory(device: torch.device) -> bool:
    """True where a block of threads gets less than three stages of keys and values need."""
    if device.type != "cuda":
        return False
    properties = torch.cuda.get_device_properties(device)
    return getattr(properties, "shared_memory_per_block_optin", 0) < AMPLE_SHARED_BYTES
