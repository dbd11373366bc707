"""Who watches the answers of the server: its metrics and its log of requests.

The front opens an observer per HTTP call and tells it of every chunk that arrives. So the protocols
need not know that anybody counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sglite.generation import Generation, GenerationChunk
from sglite.observability.logging import bound
from sglite.server.telemetry.metrics import ServerMetrics
from sglite.server.telemetry.request_log import RequestLog


class CallObserver:
    """Watches the requests of one call. ``fields`` go into its lines of the log."""

    def __init__(
        self,
        metrics: ServerMetrics | None,
        log: RequestLog | None,
        fields: Mapping[str, Any],
        clock: Callable[[], float],
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._fields = fields
        self._clock = clock
        self._last_s: dict[int, float] = {}

    def delivered(self, chunks: list[GenerationChunk]) -> None:
        """Take the chunks of one delivery; they arrived now."""
        now_s = self._clock()
        for chunk in chunks:
            if chunk.token_ids and self._metrics is not None:
                last_s = self._last_s.get(chunk.index)
                gap_s = None if last_s is None else now_s - last_s
                self._metrics.tokens_arrived(len(chunk.token_ids), gap_s)
                self._last_s[chunk.index] = now_s
            if chunk.finished is not None:
                self._finished(chunk.finished)

    def _finished(self, generation: Generation) -> None:
        self._last_s.pop(generation.index, None)
        if self._metrics is not None:
            self._metrics.request_finished(generation)
        if self._log is not None:
            self._log.request_finished(generation, self._fields)


@dataclass(frozen=True, slots=True)
class Observation:
    """What watches all calls; either may be off (None)."""

    metrics: ServerMetrics | None = None
    log: RequestLog | None = None
    clock: Callable[[], float] = time.monotonic

    def open_call(self) -> CallObserver | None:
        """An observer for the call that this task serves; None where nobody watches."""
        if self.metrics is None and self.log is None:
            return None
        return CallObserver(self.metrics, self.log, bound(), self.clock)
