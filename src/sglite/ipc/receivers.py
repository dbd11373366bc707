"""Who waits for which request's outputs in an API process, and giving each its part."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from sglite.errors import EngineDeadError
from sglite.ipc.splitting import split_outputs
from sglite.request import OutputBatch

logger = logging.getLogger(__name__)


class Receiver(Protocol):
    """Takes what becomes of requests. Called in the event loop; must not block."""

    def deliver(self, batch: OutputBatch) -> None:
        """Take outputs of its requests."""

    def refuse(self, request_id: str | None, error: Exception) -> None:
        """One request was not accepted; with None, nothing more will come for any."""


class Receivers:
    """Open requests by id. ``abort`` is called with those of a receiver that failed."""

    def __init__(self, abort: Callable[[list[str]], None]) -> None:
        self._abort = abort
        self._open: dict[str, Receiver] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._open

    def add(self, request_ids: list[str], receiver: Receiver) -> None:
        """Expect outputs of these requests, for ``receiver``."""
        self._open.update(dict.fromkeys(request_ids, receiver))

    def deliver(self, batch: OutputBatch) -> None:
        """Give every receiver its part of ``batch``."""
        for receiver, part in split_outputs(batch, self._owner):
            self._tell(receiver, part)
        for finish in batch.finished:
            self._open.pop(finish.request_id, None)

    def refuse(self, request_id: str, error: Exception) -> None:
        """A request ends without having been accepted."""
        receiver = self._open.pop(request_id, None)
        if receiver is not None:
            receiver.refuse(request_id, error)

    def fail(self, error: EngineDeadError) -> None:
        """Everything ends; each receiver hears it once."""
        receivers = {id(receiver): receiver for receiver in self._open.values()}
        self._open.clear()
        for receiver in receivers.values():
            receiver.refuse(None, error)

    def _tell(self, receiver: Receiver, part: OutputBatch) -> None:
        """A fault of one receiver is its own: its requests end, the others go on."""
        try:
            receiver.deliver(part)
        except Exception as error:
            logger.error("receiver_failed", exc_info=error)
            lost = [name for name, other in self._open.items() if other is receiver]
            self._abort(lost)
            for request_id in lost:
                self._open[request_id] = NOBODY
            receiver.refuse(None, error)

    def _owner(self, request_id: str) -> Receiver:
        return self._open.get(request_id, NOBODY)


class _Nobody:
    """Takes what is left of requests whose receiver has failed, or that nobody knows."""

    def deliver(self, batch: OutputBatch) -> None:
        """Drop it."""

    def refuse(self, request_id: str | None, error: Exception) -> None:
        """Nobody to tell."""


NOBODY = _Nobody()
