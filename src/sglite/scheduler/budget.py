"""How much to take on: prompt tokens per step, and requests against the pool.

Both are estimates that correct themselves: a cost model of step times, and the share of their
``max_new_tokens`` that requests turn out to use.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sglite.config import SchedulerOptions
from sglite.scheduler.sequence import Sequence

UNLIMITED = 1 << 30
MIN_CHUNK = 8
ALONE = 4.0
"""While no stream waits for a next token, a step may take this many times its target: larger chunks
are quicker in all. Answers that are read as a whole gain from it, too, and a request that arrives
meanwhile waits for the step at most."""
FIRST_CHUNK = 32
MAX_ESTIMATED_NEW_TOKENS = 4096


@dataclass(slots=True)
class StepWork:
    """What a step has to compute: decodes and the keys they read; prompt tokens, and the pairs of a
    prompt token and a key that it sees.

    ``has_streams``: one of the decodes is for a request that is streamed.
    """

    num_decodes: int = 0
    num_decode_keys: int = 0
    num_prompt_tokens: int = 0
    num_prompt_pairs: int = 0
    has_streams: bool = False

    def add_chunk(self, start: int, length: int) -> None:
        """Count a run of ``length`` prompt tokens from position ``start`` on."""
        self.num_prompt_tokens += length
        self.num_prompt_pairs += length * (2 * start + length) // 2


class StepCostModel:
    """The time of a step with prompt tokens, as a sum of its parts, fitted as steps end.

    Recursive least squares with forgetting (Haykin, Adaptive Filter Theory, ch. 9) over a constant,
    decodes, thousands of their keys, prompt tokens and millions of their pairs. Steps of decodes
    alone are another regime (they wait for the weights, not for arithmetic) and teach nothing here.
    ``spread`` is the mean distance of a step's time from what was foreseen, as a share of it.
    """

    FORGETTING = 0.98
    LARGEST_SPREAD = 0.25

    def __init__(self) -> None:
        self.weights = [0.0] * 5
        self.num_samples = 0
        self.spread = 0.0
        self._covariance = _uncertain()

    def observe(self, work: StepWork, elapsed_s: float) -> None:
        """A step with this work took ``elapsed_s`` seconds."""
        x = (
            1.0,
            float(work.num_decodes),
            work.num_decode_keys / 1e3,
            float(work.num_prompt_tokens),
            work.num_prompt_pairs / 1e6,
        )
        p = self._covariance
        px = [_dot(row, x) for row in p]
        gain_scale = self.FORGETTING + _dot(x, px)
        error = elapsed_s - _dot(self.weights, x)
        if self.num_samples >= len(x):
            distance = min(abs(error) / elapsed_s, self.LARGEST_SPREAD)
            self.spread += 0.05 * (distance - self.spread)
        gain = [value / gain_scale for value in px]
        self.weights = [w + g * error for w, g in zip(self.weights, gain, strict=True)]
        self._covariance = [
            [(cell - g * v) / self.FORGETTING for cell, v in zip(row, px, strict=True)]
            for row, g in zip(p, gain, strict=True)
        ]
        if max(self._covariance[i][i] for i in range(len(x))) > 1e6:
            self._covariance = _uncertain()
        self.num_samples += 1

    def tokens_within(self, target_s: float, work: StepWork, start: int) -> int:
        """Prompt tokens from position ``start`` on that fit beside ``work`` in ``target_s``.

        Most steps should keep to the target, not half of them: two spreads are left for the rest.
        """
        base, per_decode, per_key, per_token, per_pair = self.weights
        per_token, per_pair = max(0.0, per_token), max(0.0, per_pair)
        if self.num_samples < 2 or per_token <= 0.0:
            return FIRST_CHUNK
        # Where all decodes read as many keys, the two weights are any pair with the right sum: one
        # of them may be negative, so they are taken together.
        decodes_s = base + per_decode * work.num_decodes + per_key * work.num_decode_keys / 1e3
        left_s = target_s / (1.0 + 2.0 * self.spread) - max(0.0, decodes_s)
        if left_s <= 0.0:
            return 0
        # Each token sees what is before it: per_token * n + per_pair * (start * n + n * n / 2).
        linear, square = per_token + per_pair * start / 1e6, per_pair / 2e6
        return int(2.0 * left_s / (linear + math.sqrt(linear**2 + 4.0 * square * left_s)))


def _uncertain() -> list[list[float]]:
    return [[1e4 if i == j else 0.0 for j in range(5)] for i in range(5)]


def _dot(a: Iterable[float], b: Iterable[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


class ChunkBudget:
    """Most prompt tokens of a step: fixed, or from the time that a step should take.

    That is ``target_itl_ms`` while a stream waits for a next token, otherwise ALONE times as much.
    """

    def __init__(self, options: SchedulerOptions) -> None:
        self.cost = StepCostModel()
        self._fixed = options.chunked_prefill_size
        self._target_s = options.target_itl_ms / 1000.0

    def tokens(self, work: StepWork, start: int) -> int:
        """The budget of a step that has ``work`` to do, for a prompt from ``start`` on."""
        if self._fixed is None:
            target_s = self._target_s * (1.0 if work.has_streams else ALONE)
            return max(MIN_CHUNK, self.cost.tokens_within(target_s, work, start))
        return self._fixed if self._fixed > 0 else UNLIMITED

    def observe(self, work: StepWork, elapsed_s: float) -> None:
        """Learn from a step, where the budget depends on it."""
        if self._fixed is None and elapsed_s > 0.0 and work.num_prompt_tokens:
            self.cost.observe(work, elapsed_s)


class NewTokenEstimate:
    """The share of their remaining tokens that running requests are expected to generate.

    Starts careful, relaxes with every step, and jumps up when a retraction proves it wrong
    (SGLang's new-token ratio).
    """

    def __init__(self, conservativeness: float) -> None:
        self._start = min(1.0, 0.7 * conservativeness)
        self._floor = min(1.0, 0.1 * conservativeness)
        self.ratio = self._start

    def relax(self) -> None:
        """A step went by without a retraction."""
        self.ratio = max(self._floor, self.ratio - (self._start - self._floor) / 600)

    def correct(self, running: Iterable[Sequence]) -> None:
        """A retraction happened: expect what the running requests have shown, and some more."""
        generated = limit = 0
        for sequence in running:
            generated += sequence.num_output_tokens
            limit += sequence.request.max_new_tokens
        self.ratio = min(1.0, max(self.ratio, (generated + 20) / max(1, limit)) + 0.1)

    def reserve(self, sequences: Iterable[Sequence]) -> int:
        """Tokens that ``sequences`` are expected to add."""
        total = sum(
            min(s.max_total - s.num_tokens - s.num_pending, MAX_ESTIMATED_NEW_TOKENS)
            for s in sequences
        )
        return int(total * self.ratio)
