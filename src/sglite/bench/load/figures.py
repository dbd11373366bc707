"""What was measured, and its summary.

Times are the client's: TTFT is from the call to the first text, ITL between tokens, TPOT the mean
of a call after its first token, E2E from the call to its end.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

LATENCIES = ("ttft", "tpot", "itl", "e2e")


@dataclass(slots=True)
class CallResult:
    """One call. Times are seconds on the client's clock; ``error`` is None where it succeeded."""

    started_s: float
    ended_s: float = 0.0
    first_s: float | None = None
    gaps_s: list[float] = field(default_factory=list)
    text: str = ""
    num_tokens: int = 0
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    error: str | None = None

    @property
    def ttft_s(self) -> float | None:
        """To the first text; None where there was none."""
        return None if self.first_s is None else self.first_s - self.started_s

    @property
    def e2e_s(self) -> float:
        """To the end of the answer."""
        return self.ended_s - self.started_s

    @property
    def tpot_s(self) -> float | None:
        """Per token after the first; None where there was no second one."""
        if self.first_s is None or self.num_tokens < 2:
            return None
        return (self.ended_s - self.first_s) / (self.num_tokens - 1)


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and percentiles, in milliseconds; None where nothing was measured."""

    mean: float
    median: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A run in figures. ``goodput_per_s`` counts calls that kept all goals; None without goals."""

    num_requests: int
    num_failed: int
    errors: dict[str, int]
    duration_s: float
    num_prompt_tokens: int
    num_cached_tokens: int
    num_output_tokens: int
    requests_per_s: float
    output_tokens_per_s: float
    total_tokens_per_s: float
    concurrency: float
    goodput_per_s: float | None
    good_share: float | None
    latencies_ms: dict[str, Spread | None]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that ``share`` of the sorted values do not exceed, interpolated."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spread_ms(seconds: Iterable[float]) -> Spread | None:
    """Mean and percentiles of ``seconds`` in milliseconds."""
    ordered = sorted(1000 * each for each in seconds)
    if not ordered:
        return None
    return Spread(
        mean=sum(ordered) / len(ordered),
        median=percentile(ordered, 0.5),
        p90=percentile(ordered, 0.9),
        p99=percentile(ordered, 0.99),
        max=ordered[-1],
    )


def values_s(results: Iterable[CallResult], latency: str) -> list[float]:
    """The values of one of ``LATENCIES`` over the calls that succeeded."""
    done = [result for result in results if result.error is None]
    if latency == "itl":
        return [gap for result in done for gap in result.gaps_s]
    values = [getattr(result, f"{latency}_s") for result in done]
    return [value for value in values if value is not None]


def summarise(results: Sequence[CallResult], goals_ms: dict[str, float]) -> Summary:
    """The figures of a run. ``goals_ms`` limit a call's ttft, tpot and e2e."""
    done = [result for result in results if result.error is None]
    started_s = min((result.started_s for result in results), default=0.0)
    ended_s = max((result.ended_s for result in results), default=0.0)
    duration_s = max(ended_s - started_s, 1e-9)
    num_prompt = sum(result.num_prompt_tokens for result in done)
    num_output = sum(result.num_tokens for result in done)
    num_good = sum(keeps(result, goals_ms) for result in done)
    return Summary(
        num_requests=len(results),
        num_failed=len(results) - len(done),
        errors=dict(Counter(result.error for result in results if result.error is not None)),
        duration_s=duration_s,
        num_prompt_tokens=num_prompt,
        num_cached_tokens=sum(result.num_cached_tokens for result in done),
        num_output_tokens=num_output,
        requests_per_s=len(done) / duration_s,
        output_tokens_per_s=num_output / duration_s,
        total_tokens_per_s=(num_prompt + num_output) / duration_s,
        concurrency=sum(result.e2e_s for result in done) / duration_s,
        goodput_per_s=num_good / duration_s if goals_ms else None,
        good_share=num_good / len(results) if goals_ms and results else None,
        latencies_ms={name: spread_ms(values_s(done, name)) for name in LATENCIES},
    )


def keeps(result: CallResult, goals_ms: dict[str, float]) -> bool:
    """True where the call kept every goal; what did not happen (a second token) was kept."""
    for name, limit_ms in goals_ms.items():
        value_s: Any = getattr(result, f"{name}_s")
        if value_s is not None and 1000 * value_s > limit_ms:
            return False
    return True
