"""One engine of a fleet, as the fleet's client keeps it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sglite.ipc.engine_link import EngineLink
from sglite.ipc.messages import Digest, Heartbeat
from sglite.ipc.prompt_groups import PromptGroup
from sglite.request import OutputBatch


class EngineClient(EngineLink, Protocol):
    """The client of one engine: ``ProcessClient``, or what stands for it."""

    on_digest: Callable[[Digest], None] | None

    def on_death(self, callback: Callable[[str], None]) -> None:
        """Call ``callback`` with the reason, in the event loop, once the engine has gone."""


class Fleet(Protocol):
    """Who hears what becomes of requests."""

    def take_outputs(self, batch: OutputBatch) -> None:
        """Outputs of one engine."""

    def take_refusal(self, request_id: str, error: Exception) -> None:
        """An engine does not accept a request."""

    def lose(self, member: Member, reason: str) -> None:
        """An engine has gone."""


class Member:
    """The client of an engine, and by request the groups that the engine has.

    It receives their outputs: whose have begun is noted before anybody else sees them.
    ``known_beat`` is the heartbeat that the router knows of.
    """

    def __init__(self, fleet: Fleet, number: int, client: EngineClient) -> None:
        self.number = number
        self.client = client
        self.groups: dict[str, PromptGroup] = {}
        self.known_beat: Heartbeat | None = None
        self._fleet = fleet

    def submit(self, group: PromptGroup) -> None:
        """Send a group. Raises EngineDeadError, and then has not got it."""
        self.client.submit(list(group.requests.values()), self)
        self.groups.update(dict.fromkeys(group.requests, group))

    def deliver(self, batch: OutputBatch) -> None:
        """See :class:`~sglite.ipc.receivers.Receiver`."""
        for request_id, _ in batch.started:
            group = self.groups.get(request_id)
            if group is not None:
                group.heard_of.add(request_id)
        self._fleet.take_outputs(batch)

    def refuse(self, request_id: str | None, error: Exception) -> None:
        """See :class:`~sglite.ipc.receivers.Receiver`."""
        if request_id is None:
            self._fleet.lose(self, str(error))
        else:
            self._fleet.take_refusal(request_id, error)
