"""The compiled CPU kernels: whether they are here, and which instruction set they use.

The extension ``_cpu`` is made by CMakeLists.txt from the C++ files of this folder. sglite works
without it, on torch alone. Importing this package loads neither; the first question does.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from types import ModuleType
from typing import NamedTuple

from sglite.errors import ConfigError

EXTENSION = f"{__name__}._cpu"


class Loaded(NamedTuple):
    """The module, or why there is none: exactly one of the two is set."""

    module: ModuleType | None
    why_missing: str | None


def extension() -> ModuleType | None:
    """The compiled module; None where it is not there. The same answer for the whole process."""
    return load(EXTENSION).module


def why_missing() -> str | None:
    """In one sentence why there is no compiled module; None where there is one."""
    return load(EXTENSION).why_missing


def instruction_sets() -> list[str]:
    """Those that the extension has code for and this machine runs, the fastest first.

    Empty without the extension.
    """
    module = extension()
    return [] if module is None else list(module.instruction_sets())


def choose(option: str) -> str | None:
    """The instruction set for a value of the option ``cpu_kernels``; None: torch without kernels.

    ``auto`` is the fastest that runs here, if any does. ConfigError where the one that is asked
    for does not run here.
    """
    if option == "torch":
        return None
    names = instruction_sets()
    if option == "auto":
        return names[0] if names else None
    if option not in names:
        why = why_missing() or "this machine cannot run it"
        choices = ", ".join(["auto", *names])
        raise ConfigError(f"cpu_kernels: {option!r:.80} ({why}); give {choices} or torch")
    return option


@lru_cache(maxsize=8)
def load(name: str) -> Loaded:
    """Import the extension of that full name, or say why that fails."""
    import torch  # noqa: F401 - the extension runs on the threads of the OpenMP it brings along

    try:
        return Loaded(importlib.import_module(name), None)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return Loaded(None, "the CPU kernels were not compiled when sglite was installed")
    except ImportError as error:
        reason = " ".join(str(error).split())
        return Loaded(None, f"the compiled CPU kernels do not load: {reason}")
