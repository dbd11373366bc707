"""What is timed: an engine that answers token ids, in this process or in another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sglite.bench.suite.workloads import Ask


@dataclass(frozen=True, slots=True)
class Answers:
    """The output tokens of a batch, in its order, and the seconds that it took.

    ``first_s`` is the time to the first token, where the one request of the batch was streamed.
    """

    outputs: list[list[int]]
    seconds: float
    first_s: float | None = None


class BenchEngine(Protocol):
    """Timed from inside, so that the way to another process does not count.

    Every method raises RemoteError where the engine fails, has ended, or takes too long.
    """

    version: str

    def load(self) -> float:
        """Get ready; the seconds that it took."""

    def batch(self, asks: Sequence[Ask]) -> Answers:
        """Answer all of them together."""

    def stream(self, ask: Ask) -> Answers:
        """Answer one, and take the time of its first token."""

    def close(self) -> None:
        """End it; safe to repeat."""
