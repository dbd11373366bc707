"""What a server and its process for chat templates say to each other: msgpack of closed structs.

Sources, answered by a Rendered once the process is there; then by turns a ``PlannedChat`` and a
Rendered.
"""

from __future__ import annotations

import msgspec


class Sources(msgspec.Struct, frozen=True):
    """The chat templates by name, and the memory that the process may take."""

    templates: dict[str, str]
    max_memory_bytes: int


class Rendered(msgspec.Struct, frozen=True):
    """A prompt, or why there is none: ``error`` is for the client, ``param`` the field it names."""

    prompt: str = ""
    error: str | None = None
    param: str | None = None
