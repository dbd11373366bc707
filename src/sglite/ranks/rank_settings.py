"""What a rank's process is told at its start, in its first frame from the leader, never in argv."""

from __future__ import annotations

from typing import Any

import msgspec


class RankSettings(msgspec.Struct, frozen=True):
    """Rank ``rank`` of an engine.

    ``config`` are the settled options of EngineConfig by name; ``model_directory`` has been found.
    ``store_path`` is a file in the leader's private directory, where ranks of one machine meet;
    None where they meet over the network. ``reader`` of ``num_readers`` takes its plans from
    ``memory_fd``, and ``door_fd`` is its bell.
    """

    rank: int
    config: dict[str, Any]
    model_directory: str
    store_path: str | None
    memory_fd: int
    door_fd: int
    reader: int
    num_readers: int
