"""What the HTTP processes of one server tell each other, through the engine's socket.

    peers.answer("metrics", lambda payload: metrics.snapshot())     # in every process
    snapshots = await peers.ask("metrics")                          # in one of them

A question reaches every process, the one that asks too, and all processes hear all questions in the
same order: what they keep by them stays the same everywhere. A server with one HTTP process asks
itself, without a message.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sglite.ipc.messages import Note
from sglite.observability.logging import log_event

if TYPE_CHECKING:
    from sglite.ipc.engine_link import EngineLink

logger = logging.getLogger(__name__)

TIMEOUT_S = 2.0
NOT_A_QUESTION = (AttributeError, LookupError, TypeError, ValueError)
"""What an answer raises for a payload that no process of ours has sent."""

Answer = Callable[[Any], Any]
"""From a question's payload to the answer's; both plain data. Runs in the event loop."""


class Peers:
    """This process among ``count`` HTTP processes; ``number`` counts from 0."""

    def __init__(
        self, client: EngineLink | None = None, *, number: int = 0, count: int = 1
    ) -> None:
        self.number = number
        self.count = count
        self._client = client
        self._answers: dict[str, Answer] = {}
        self._open: dict[int, tuple[list[Any], asyncio.Future[None]]] = {}
        self._call_ids = itertools.count()
        if client is not None and count > 1:
            client.on_note = self._take

    def answer(self, topic: str, answer: Answer) -> None:
        """Answer questions about ``topic`` from now on."""
        self._answers[topic] = answer

    async def ask(self, topic: str, payload: Any = None) -> list[Any]:
        """The answers of all processes, in no order; of those that answer in time.

        Raises EngineDeadError.
        """
        if self._client is None or self.count == 1:
            return [self._answers[topic](payload)]
        call_id = next(self._call_ids)
        answers: list[Any] = []
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open[call_id] = answers, done
        try:
            self._client.send_note(Note(topic, self.number, call_id, payload))
            await asyncio.wait_for(done, TIMEOUT_S)
        except asyncio.TimeoutError:
            log_event(logger, logging.WARNING, "peers_late", topic=topic, answers=len(answers))
        finally:
            del self._open[call_id]
        return answers

    def _take(self, note: Note) -> None:
        """Answer a question, or note an answer to one of ours."""
        if note.asker is None:
            try:
                answer = self._answers.get(note.topic)
                payload = None if answer is None else answer(note.payload)
            except NOT_A_QUESTION as error:
                cause = type(error).__name__
                log_event(logger, logging.WARNING, "peers_dropped", topic=note.topic, cause=cause)
                return
            if self._client is not None and self._client.is_alive:
                self._client.send_note(
                    Note(note.topic, self.number, note.call_id, payload, asker=note.sender)
                )
        elif note.asker == self.number and note.call_id in self._open:
            answers, done = self._open[note.call_id]
            answers.append(note.payload)
            if len(answers) == self.count and not done.done():
                done.set_result(None)
