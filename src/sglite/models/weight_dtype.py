"""Which type the weights and activations get: the checkpoint's, where the machine can."""

from __future__ import annotations

from pathlib import Path

import torch

from sglite.errors import ConfigError

DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
# What Linux calls the instructions: x86 (avx512_bf16, amx_bf16, avx_ne_convert) and ARM (bf16).
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def cpu_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """True where the CPU multiplies bfloat16; False where the system does not say."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return False
    flags = [line for line in lines if line.startswith(("flags", "Features"))]
    return bool(flags) and not BFLOAT16_FLAGS.isdisjoint(flags[0].split())


def resolve_dtype(
    option: str, checkpoint: str | None, *, device: str, has_bfloat16: bool | None = None
) -> torch.dtype:
    """The type for ``option`` (auto or a name) and the type that config.json states, if any.

    ``auto`` takes the checkpoint's (bfloat16 where it states none), on CPUs without bfloat16
    float32. ``has_bfloat16`` None asks the CPU. ConfigError for an unknown name.
    """
    if option != "auto":
        if option not in DTYPES:
            raise ConfigError(f"dtype is {option!r}; choose auto, {', '.join(DTYPES)}")
        return DTYPES[option]
    if torch.device(device).type == "cpu":
        has_bfloat16 = cpu_has_bfloat16() if has_bfloat16 is None else has_bfloat16
        if not has_bfloat16:
            return torch.float32
    return DTYPES[checkpoint or "bfloat16"]


def natural_kv_dtype(option: str, checkpoint: str | None, activations: torch.dtype) -> torch.dtype:
    """The type of keys and values where nobody chose one: that of the ``activations``.

    But where only the CPU's lack of bfloat16 makes those of a bfloat16 checkpoint float32, that is
    what keys and values stay: half the memory, and half of what decoding reads. ``option`` and
    ``checkpoint`` as in :func:`resolve_dtype`.
    """
    was_widened = option == "auto" and activations is torch.float32 and checkpoint == "bfloat16"
    return torch.bfloat16 if was_widened else activations
