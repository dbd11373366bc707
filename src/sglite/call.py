"""One caller's requests in flight: submitted as room allows, collected as they answer."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Generator

from sglite.errors import CapacityError
from sglite.generation import GenerationChunk, GenerationCollector, OpenGeneration
from sglite.ipc.client import EngineClient
from sglite.request import OutputBatch

RETRY_S = 0.05

Message = OutputBatch | tuple[str | None, Exception]
"""Outputs, or a refused request's id (None: all of them) and why."""


class Call:
    """Iterate to get the chunks of all requests in the order they come.

    At most ``max_open`` requests are handed to the engine at once, and one that finds its queue
    full is tried again: a caller with ten thousand prompts blocks, it does not fail. A refusal
    lowers ``max_open`` to what the engine took, an answer raises it by one again. Leaving the
    iteration early aborts what is open.
    """

    def __init__(
        self, client: EngineClient, generations: list[OpenGeneration], *, max_open: int
    ) -> None:
        self._client = client
        self._collector = GenerationCollector()
        self._pending = deque(generations)
        self._limit = self._max_open = max(1, max_open)
        self._is_aborted = False
        # Holds what the open requests still say: max_open of them, each of bounded length.
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()  # ban-ok: bounded as said

    def __iter__(self) -> Generator[GenerationChunk, None, None]:
        try:
            self._submit()
            while self._collector.open or self._pending:
                yield from self._next_chunks()
                self._submit()
        finally:
            self.abort()

    def abort(self) -> None:
        """End what is open; safe to call at any time and from any thread."""
        self._is_aborted = True
        self._abort_open()

    def _abort_open(self) -> None:
        if self._collector.open:
            self._client.abort(list(self._collector.open))

    def _submit(self) -> None:
        if self._is_aborted:
            self._pending.clear()
        requests = []
        while self._pending and len(self._collector.open) < self._max_open:
            generation = self._pending.popleft()
            self._collector.add(generation)
            requests.append(generation.request)
        if requests:
            self._client.submit(requests, self._inbox.put, self._refuse)
            if self._is_aborted:  # meanwhile, and so perhaps before these were known
                self._abort_open()

    def _next_chunks(self) -> list[GenerationChunk]:
        try:
            message = self._inbox.get(timeout=None if self._collector.open else RETRY_S)
        except queue.Empty:
            return []
        if isinstance(message, OutputBatch):
            self._max_open = min(self._limit, self._max_open + len(message.finished))
            return self._collector.absorb(message)
        request_id, error = message
        if request_id is None or not isinstance(error, CapacityError):
            raise error
        self._pending.appendleft(self._collector.open.pop(request_id))
        self._max_open = max(1, len(self._collector.open))
        return []

    def _refuse(self, request_id: str | None, error: Exception) -> None:
        self._inbox.put((request_id, error))
