"""One run of a workload on one engine: its times, with every answer's length checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sglite.bench.suite.engine import Answers, BenchEngine
from sglite.bench.suite.workloads import Ask, Kind, Workload, num_tokens
from sglite.errors import RemoteError


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Times in seconds; ``first_s`` where a stream was timed, ``load_s`` of a cold start."""

    kind: Kind
    num_in: int
    num_out: int
    seconds: float
    first_s: float | None = None
    load_s: float | None = None

    @property
    def headline_s(self) -> float:
        """The time that the workload is about; the less, the better."""
        if self.kind is Kind.PREFILL:
            return self._first_s
        if self.kind is Kind.DECODE:
            return (self.seconds - self._first_s) / max(1, self.num_out - 1)
        return self.seconds

    @property
    def tokens_per_s(self) -> float | None:
        """Output tokens per second (of a prefill, prompt tokens); None for a cold start."""
        if self.kind is Kind.COLD:
            return None
        num_timed = {Kind.DECODE: 1, Kind.PREFILL: self.num_in, Kind.BATCH: self.num_out}
        return num_timed[self.kind] / max(self.headline_s, 1e-9)

    @property
    def _first_s(self) -> float:
        assert self.first_s is not None, f"{self.kind} has the time of a first token"
        return self.first_s


def run_workload(engine: BenchEngine, workload: Workload, *, salt: int, shrink: int = 1) -> Run:
    """Time ``workload`` on a loaded engine. Raises RemoteError, also for a wrong answer's length.

    The times are the engine's own; turns of a chat are timed one by one and added.
    """
    turns = workload.write(salt, shrink)
    num_in, num_out = num_tokens(turns)
    seconds, first_s = 0.0, None
    said: list[list[int]] = [[] for _ in turns[0]]
    for turn in turns:
        asks = [
            Ask([*before, *ask.token_ids], ask.num_new_tokens)
            for before, ask in zip(said, turn, strict=True)
        ]
        answers = engine.batch(asks) if workload.kind is Kind.BATCH else engine.stream(asks[0])
        check_lengths(asks, answers)
        seconds += answers.seconds
        first_s = answers.first_s
        said = [ask.token_ids + out for ask, out in zip(asks, answers.outputs, strict=True)]
    return Run(kind=workload.kind, num_in=num_in, num_out=num_out, seconds=seconds, first_s=first_s)


def check_lengths(asks: Sequence[Ask], answers: Answers) -> None:
    """Raise RemoteError unless every answer has exactly the tokens that were asked for."""
    if len(answers.outputs) != len(asks):
        raise RemoteError(f"{len(answers.outputs)} answers to {len(asks)} requests")
    for number, (ask, output) in enumerate(zip(asks, answers.outputs, strict=True)):
        if len(output) != ask.num_new_tokens:
            raise RemoteError(
                f"answer {number} has {len(output)} tokens instead of {ask.num_new_tokens}"
            )
