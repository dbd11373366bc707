"""Which requests of the engine a client means by the id that it chose itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

MAX_NAMES = 65_536


class OpenCalls:
    """Clients' ids of the calls that are open now, each with its engine's ids.

    Two calls may have the same id: both are meant. At most ``max_names`` are kept; a call beyond
    that is served like any other, and can be aborted by the ids that its answers show.
    """

    def __init__(self, max_names: int = MAX_NAMES) -> None:
        self._max_names = max_names
        self._engine_ids: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._engine_ids)

    @contextmanager
    def named(self, names: Iterable[tuple[str, str]]) -> Iterator[None]:
        """Keep ``(client's id, engine's id)`` pairs while the block runs."""
        pairs = list(names)
        self.add(pairs)
        try:
            yield
        finally:
            self.remove(pairs)

    def add(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Remember ``(client's id, engine's id)`` pairs; :meth:`remove` the same ones later."""
        for client_id, engine_id in pairs:
            known = self._engine_ids.get(client_id)
            if known is not None:
                known.add(engine_id)
            elif len(self._engine_ids) < self._max_names:
                self._engine_ids[client_id] = {engine_id}

    def remove(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Forget pairs; those that are unknown are ignored."""
        for client_id, engine_id in pairs:
            known = self._engine_ids.get(client_id)
            if known is None:
                continue
            known.discard(engine_id)
            if not known:
                del self._engine_ids[client_id]

    def engine_ids(self, client_id: str) -> list[str]:
        """The engine's ids that exactly this id stands for; empty where no such call is open."""
        return sorted(self._engine_ids.get(client_id, ()))
