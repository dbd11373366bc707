"""What the engine's process is told at its start, as JSON on its standard input, never in argv."""

from __future__ import annotations

from typing import Any

import msgspec

EXIT_STOPPED = 0
EXIT_FAULT = 1
EXIT_BAD_CONFIG = 2
STOP_WORD = b"q"
"""Written into the death pipe: end in good order. Its end means that the parent is dead."""


class EngineSettings(msgspec.Struct, frozen=True):
    """``config`` are the options of EngineConfig by name.

    ``host`` is the engine's part of the machine: the fields of HostShare.
    ``listen_fd`` is a listening socket in ``directory``, ``death_fd`` the reading end of a pipe
    that only the parent can write. ``spawned_s`` is the start on the monotonic clock, which all
    processes of a machine share; ``clock_offset_s`` is what that clock is ahead of the one that
    requests' deadlines are on: those of two machines begin anywhere. ``publishes_digest``: a router
    wants to know what is cached.
    """

    config: dict[str, Any]
    host: tuple[int, int, int]
    listen_fd: int
    death_fd: int
    directory: str
    spawned_s: float
    heartbeat_s: float
    publishes_digest: bool = False
    clock_offset_s: float = 0.0
