"""What a result has to say about several devices: ranks, stages, engines, where there are some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SIZES = ("tp_size", "pp_size", "dp_size", "nnodes")
SWITCH = "enable_dp_attention"


def parallel_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options by which ranks and engines are made that are not 1 or off.

    ``options`` is an engine's ``to_dict()``, or what a server says at ``/server_info``; names that
    it lacks, and values that are no numbers, count as 1.
    """
    sizes = {name: options.get(name) for name in SIZES}
    found: dict[str, Any] = {
        name: size for name, size in sizes.items() if type(size) is int and size > 1
    }
    if options.get(SWITCH) is True:
        found[SWITCH] = True
    return found


def parallel_text(settings: Mapping[str, Any]) -> str:
    """``"tp_size 2, dp_size 2"`` of what :func:`parallel_settings` found; empty for one rank."""
    return ", ".join(
        name if value is True else f"{name} {value}" for name, value in settings.items()
    )
