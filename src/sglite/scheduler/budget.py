"""How much to take on: prompt tokens per step, and requests against the pool.

Both are estimates that correct themselves: a cost model of step times, and the share of their
``max_new_tokens`` that requests turn out to use.
"""

from __future__ import annotations

from collections.abc import Iterable

from sglite.config import SchedulerOptions
from sglite.scheduler.sequence import Sequence

UNLIMITED = 1 << 30
MIN_CHUNK = 16
FIRST_CHUNK = 256
MAX_ESTIMATED_NEW_TOKENS = 4096


class StepCostModel:
    """Step time as ``base + per_token * tokens + per_context * context``, fitted as steps end.

    Recursive least squares with forgetting (Haykin, Adaptive Filter Theory, ch. 9); ``context``
    is the number of keys read, in thousands.
    """

    FORGETTING = 0.98

    def __init__(self) -> None:
        self.weights = [0.0, 0.0, 0.0]
        self.num_samples = 0
        self._covariance = [[1e4 if i == j else 0.0 for j in range(3)] for i in range(3)]

    def observe(self, num_tokens: int, context: int, elapsed_s: float) -> None:
        """A step of ``num_tokens`` that read ``context`` keys took ``elapsed_s`` seconds."""
        x = (1.0, float(num_tokens), context / 1000.0)
        p = self._covariance
        px = [row[0] * x[0] + row[1] * x[1] + row[2] * x[2] for row in p]
        gain_scale = self.FORGETTING + sum(a * b for a, b in zip(x, px, strict=True))
        error = elapsed_s - sum(w * v for w, v in zip(self.weights, x, strict=True))
        gain = [value / gain_scale for value in px]
        self.weights = [w + g * error for w, g in zip(self.weights, gain, strict=True)]
        self._covariance = [
            [(p[i][j] - gain[i] * px[j]) / self.FORGETTING for j in range(3)] for i in range(3)
        ]
        if max(self._covariance[i][i] for i in range(3)) > 1e6:
            self._covariance = [[1e4 if i == j else 0.0 for j in range(3)] for i in range(3)]
        self.num_samples += 1

    def tokens_within(self, target_s: float, num_decodes: int, context: int) -> int:
        """Prompt tokens that fit beside ``num_decodes`` decodes in a step of ``target_s``."""
        base, per_token, per_context = (max(0.0, weight) for weight in self.weights)
        if self.num_samples < 2 or per_token <= 0.0:
            return FIRST_CHUNK
        left = target_s - base - per_token * num_decodes - per_context * context / 1000.0
        return int(left / per_token)


class ChunkBudget:
    """Most prompt tokens of a step: fixed, or from the time that a step should take."""

    def __init__(self, options: SchedulerOptions) -> None:
        self.cost = StepCostModel()
        self._fixed = options.chunked_prefill_size
        self._target_s = options.target_itl_ms / 1000.0

    def tokens(self, num_decodes: int, context: int) -> int:
        """The budget of a step with ``num_decodes`` decodes that read ``context`` keys."""
        if self._fixed is None:
            return max(MIN_CHUNK, self.cost.tokens_within(self._target_s, num_decodes, context))
        return self._fixed if self._fixed > 0 else UNLIMITED

    def observe(self, num_tokens: int, context: int, elapsed_s: float) -> None:
        """Learn from a step, where the budget depends on it."""
        if self._fixed is None and elapsed_s > 0.0:
            self.cost.observe(num_tokens, context, elapsed_s)


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
