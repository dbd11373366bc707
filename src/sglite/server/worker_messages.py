"""What a server and its further HTTP processes say to each other.

WorkerSettings, answered by Serving; EnginesAt whenever engines have come or gone; then Drain, and
for a second signal Stop.
"""

from __future__ import annotations

from typing import Any

import msgspec


class WorkerSettings(msgspec.Struct, tag="settings", frozen=True):
    """``config`` are the options of ServerConfig by name, ``directory`` is the model's.

    ``listen_fd`` is the socket to accept from, ``engine_paths`` are the engines' by number.
    ``number`` is the process's among them; the first, which starts the others, is 0.
    """

    config: dict[str, Any]
    directory: str
    listen_fd: int
    engine_paths: dict[int, str]
    number: int


class Serving(msgspec.Struct, tag="serving", frozen=True):
    """The process accepts connections."""


class EnginesAt(msgspec.Struct, tag="engines_at", frozen=True):
    """The sockets of the engines from now on, by number."""

    paths: dict[int, str]


class Drain(msgspec.Struct, tag="drain", frozen=True):
    """Finish what runs, and end."""


class Stop(msgspec.Struct, tag="stop", frozen=True):
    """End at once."""


ToWorker = WorkerSettings | EnginesAt | Drain | Stop
