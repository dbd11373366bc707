"""What a front needs of "the engine", be it one process or a fleet of them.

    ProcessClient    one engine, whose end is the server's
    FleetClient      several, routed to; those that end come back

Nothing here imports torch or numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sglite.ipc.messages import Heartbeat, Note, Ready
from sglite.ipc.receivers import Receiver
from sglite.request import Request


class EngineLink(Protocol):
    """Takes requests and control calls. Belongs to one event loop.

    ``on_note`` hears what HTTP processes say to each other. ``on_join`` are called with the number
    of an engine that has come or come back while the server runs.
    """

    on_note: Callable[[Note], None] | None
    on_join: list[Callable[[int], None]]

    @property
    def ready(self) -> Ready | None:
        """What requests may ask of the engine; None while it loads."""

    @property
    def heartbeat(self) -> Heartbeat | None:
        """The last sign of life."""

    @property
    def heartbeat_age_s(self) -> float:
        """Seconds since the engine's loop last turned, as far as is known."""

    @property
    def is_alive(self) -> bool:
        """False while nothing can be computed."""

    @property
    def heals(self) -> bool:
        """True where an engine that has ended is started again; otherwise its end is final."""

    @property
    def open_count(self) -> int:
        """Requests that have not ended."""

    @property
    def waiting_count(self) -> int:
        """Of those, the ones that no engine has yet."""

    @property
    def engines(self) -> Mapping[int, EngineLink]:
        """The engines that live, each by its number; a single one is number 0."""

    def submit(self, requests: list[Request], receiver: Receiver) -> None:
        """Take requests. Each ends in one terminal event, given to ``receiver``.

        Raises NotReadyError, EngineDeadError, and CapacityError where too many wait already.
        """

    def abort(self, request_ids: list[str]) -> None:
        """End these requests, whose terminal events still come; unknown ids are ignored."""

    async def control(self, name: str, **arguments: Any) -> Any:
        """The result of one of the engine's operations (``sglite.ipc.operations``).

        Raises RequestError where it refuses, NotReadyError, EngineDeadError.
        """

    def send_note(self, note: Note) -> None:
        """Say something to every HTTP process. Raises NotReadyError, EngineDeadError."""
