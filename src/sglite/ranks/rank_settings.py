"""What a rank's process is told at its start, in its first frame from the leader, never in argv."""

from __future__ import annotations

from typing import Any

import msgspec

EXIT_CLOSED = 0
EXIT_FAULT = 1
EXIT_BAD_CONFIG = 2


class LocalChannel(msgspec.Struct, frozen=True):
    """Reader ``reader`` of ``num_readers`` takes plans from ``memory_fd``; ``door_fd`` is its bell.

    ``store_path`` is a file in the leader's private directory, where ranks of one machine meet;
    None where they meet those of others.
    """

    memory_fd: int
    door_fd: int
    reader: int
    num_readers: int
    store_path: str | None


class RankSettings(msgspec.Struct, frozen=True):
    """Rank ``rank`` of an engine.

    ``config`` are options of EngineConfig by name, the leader's settled ones where there is a
    ``channel`` from it; otherwise those of this machine, and the leader is at ``dist_init_addr``.
    ``model_directory`` has been found. ``host`` is the engine's part of this machine: the
    fields of HostShare.
    """

    rank: int
    config: dict[str, Any]
    model_directory: str
    channel: LocalChannel | None
    host: tuple[int, int, int] = (0, 1, 0)
