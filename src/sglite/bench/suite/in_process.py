"""sglite in this process, timed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sglite.bench.peers.own import Peer
from sglite.bench.suite.engine import Answers
from sglite.bench.suite.workloads import Ask


class InProcess:
    """Loads ``LLM`` with ``options`` when it is told to; see BenchEngine."""

    def __init__(self, model: str | None, options: Mapping[str, Any]) -> None:
        self._model = model
        self._options = dict(options)
        self._peer: Peer | None = None
        self.version = ""

    def load(self) -> float:
        """Load the model; the seconds that it took. Raises ConfigError and ModelLoadError."""
        start_s = time.perf_counter()
        self._peer = Peer(self._model, **self._options)
        self.version = self._peer.version
        return time.perf_counter() - start_s

    def batch(self, asks: Sequence[Ask]) -> Answers:
        """Answer all of them together."""
        start_s = time.perf_counter()
        outputs = self._loaded().batch([*asks])
        return Answers(outputs, time.perf_counter() - start_s)

    def stream(self, ask: Ask) -> Answers:
        """Answer one, and take the time of its first token."""
        first_s, seconds, output = self._loaded().stream(ask.token_ids, ask.num_new_tokens)
        return Answers([output], seconds, first_s)

    def close(self) -> None:
        """End the engine; safe to repeat."""
        if self._peer is not None:
            self._peer.close()
            self._peer = None

    def _loaded(self) -> Peer:
        assert self._peer is not None, "load() comes first"
        return self._peer
