"""sglite: an LLM serving engine that one person can read in a weekend.

    from sglite import LLM, SamplingParams

The two names are looked up when they are first used: importing the package loads neither torch
nor numpy, so ``sglite --help`` and the processes that never compute start at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sglite.llm import LLM
    from sglite.request import SamplingParams

__all__ = ["LLM", "SamplingParams", "__version__"]

__version__ = "0.1.0"

_HOMES = {"LLM": "sglite.llm", "SamplingParams": "sglite.request"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sglite' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
