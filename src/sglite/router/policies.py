"""The rules by which a router chooses; each is one function over plain data.

A policy sees only the engines that may be chosen now: alive, and below their limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How busy an engine is.

    ``num_tokens`` counts what its open requests still hold or will: their prompts, and the outputs
    that they may have.
    """

    engine: int
    num_requests: int = 0
    num_tokens: int = 0


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """What routing knows of a request.

    ``prefix_hashes`` gives the 64-bit hashes of its prompt's whole pages, each covering all before
    it (``router.prefix_hashes``); called only by policies that look at prefixes. ``session`` is the
    caller's name for a series of requests.
    """

    request_id: str
    num_tokens: int
    prefix_hashes: Callable[[], Sequence[int]] = field(default=lambda: ())
    session: str | None = None


class RoutingPolicy(Protocol):
    """Chooses among engines. Deterministic, but for a random number generator it was given."""

    def choose(self, request: RoutedRequest, loads: Sequence[EngineLoad]) -> int:
        """The number of one of the engines in ``loads``, which is not empty."""
