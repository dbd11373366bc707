"""The chunks of one HTTP call's requests, as its coroutine takes them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sglite.errors import CapacityError, RequestError
from sglite.generation import Generation, GenerationChunk, GenerationCollector, OpenGeneration
from sglite.request import OutputBatch

if TYPE_CHECKING:
    from sglite.ipc.engine_link import EngineLink
    from sglite.server.telemetry.observation import CallObserver

REFUSALS = (CapacityError, RequestError)


class AnswerStream:
    """``async for chunks in stream`` gives lists of new chunks, in order, until all have ended.

    Chunks that nobody has taken yet are kept; the bound is what the requests may generate. If one
    request of the call is refused, the others are aborted and the iteration raises why:
    CapacityError, or RequestError where the engine found it invalid. Raises EngineDeadError where
    the engine ends. :meth:`close` aborts what is open; use ``try`` and ``finally``, or
    ``contextlib.aclosing``-like care: the iteration does not do it alone.
    """

    def __init__(
        self,
        engine: EngineLink,
        opened: list[OpenGeneration],
        observer: CallObserver | None = None,
    ) -> None:
        self._engine = engine
        self._observer = observer
        self._collector = GenerationCollector()
        for generation in opened:
            self._collector.add(generation)
        self._chunks: list[GenerationChunk] = []
        self._error: Exception | None = None
        self._news = asyncio.Event()
        engine.submit([generation.request for generation in opened], self)

    def __aiter__(self) -> AnswerStream:
        return self

    async def __anext__(self) -> list[GenerationChunk]:
        # A call that was refused in part is refused: nobody is told what its other part began.
        while not self._chunks or isinstance(self._error, REFUSALS):
            if self._error is not None:
                raise self._error
            if not self._collector.open:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        chunks, self._chunks = self._chunks, []
        return chunks

    async def collect(self) -> list[Generation]:
        """Wait for all answers; in the order of their indices."""
        done = [
            chunk.finished
            async for chunks in self
            for chunk in chunks
            if chunk.finished is not None
        ]
        return sorted(done, key=lambda generation: generation.index)

    def close(self) -> None:
        """Abort what is still open; safe to call at any time, and twice."""
        if self._collector.open:
            self._engine.abort(list(self._collector.open))

    def fail(self, error: Exception) -> None:
        """Abort what is open and raise ``error`` to whoever waits; nothing where all is done."""
        if self._collector.open:
            self.close()  # what still comes of the requests is taken until they have ended
            self._error = self._error or error
            self._news.set()

    # -- called by the engine's client, in the event loop ------------------------------------------

    def deliver(self, batch: OutputBatch) -> None:
        """Take outputs of this call's requests."""
        chunks = self._collector.absorb(batch)
        if self._observer is not None:
            self._observer.delivered(chunks)
        self._chunks += chunks
        self._news.set()

    def refuse(self, request_id: str | None, error: Exception) -> None:
        """One request was not accepted, or (None) the engine is dead."""
        if request_id is None:
            self._collector.open.clear()
        else:
            self._collector.open.pop(request_id, None)
            self.close()
        self._error = self._error or error
        self._news.set()
