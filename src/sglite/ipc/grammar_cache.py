"""What is known of grammars that were asked for, within a limit of memory (R14)."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Generic, TypeVar

from sglite.request import GrammarSpec

T = TypeVar("T")

ENTRY_BYTES = 512
"""What an entry takes beside the value: key, links, objects."""


class GrammarCache(Generic[T]):
    """The values of the grammars that were used last. ``num_bytes`` never exceeds ``max_bytes``.

    Grammars are known by a hash: their texts may be as large as what is kept of them.
    """

    def __init__(self, max_bytes: int) -> None:
        self.num_bytes = 0
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, tuple[T, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, spec: GrammarSpec) -> T | None:
        """What is known of ``spec``, which counts as used now."""
        key = _key(spec)
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def put(self, spec: GrammarSpec, value: T, num_bytes: int) -> None:
        """Keep ``value``, which holds ``num_bytes``; what was not used for longest goes."""
        key, size = _key(spec), num_bytes + ENTRY_BYTES
        if key in self._entries:
            self.num_bytes -= self._entries.pop(key)[1]
        if size > self._max_bytes:
            return
        self._entries[key] = value, size
        self.num_bytes += size
        while self.num_bytes > self._max_bytes:
            self.num_bytes -= self._entries.popitem(last=False)[1][1]


def _key(spec: GrammarSpec) -> bytes:
    text = f"{spec.kind}\0{spec.ignores_keywords}\0{spec.text}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
