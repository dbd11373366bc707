"""What the sampler keeps per engine row, and what a step's rows look like gathered.

Shape legend: R rows of a step, V vocab.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from sglite.device.upload import move
from sglite.sampling.batch import SamplingBatch
from sglite.sampling.counts import OutputCounts, run_now
from sglite.scheduler.plan import RowSetup, StepPlan

# Rows of ``SamplingState.floats`` and ``.integers``, in order.
FLOAT_FIELDS = ("temperature", "top_p", "min_p", "presence", "frequency", "repetition")
INTEGER_FIELDS = ("seed", "top_k")

_KEPT_BATCHES = 4

_LARGEST = 1e30
_SMALLEST = 1e-30


def _float_values(setup: RowSetup) -> list[float]:
    """The values of FLOAT_FIELDS, held where fp32 neither overflows nor becomes 0.

    Greedy rows keep temperature 1, so that their log-probabilities are the plain ones.
    """
    sampling = setup.sampling
    return [
        1.0 if sampling.is_greedy else min(sampling.temperature, _LARGEST),
        max(sampling.top_p, _SMALLEST),
        sampling.min_p,
        sampling.presence_penalty,
        sampling.frequency_penalty,
        max(sampling.repetition_penalty, _SMALLEST),
    ]


class SamplingState:
    """Sampling parameters of the rows that run, in arrays made once on the host.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | floats | [6, max_rows] | fp32 | FLOAT_FIELDS |
    | integers | [2, max_rows] | int64 | INTEGER_FIELDS; top_k is V where it filters nothing |
    | setups | [max_rows] | list | RowSetup of each row, None where the row is free |
    | count_slots | [max_rows] | list | slot in ``counts`` of rows with penalties, else None |

    The device sees the :class:`SamplingBatch` of a step's rows; that is made anew only when the
    rows or their parameters changed, with one copy.
    """

    def __init__(
        self,
        max_rows: int,
        vocab_size: int,
        device: torch.device | str,
        run: Callable[[Callable[[], None]], None] = run_now,
    ) -> None:
        self.vocab_size = vocab_size
        self.device = torch.device(device)
        self.floats = torch.zeros((len(FLOAT_FIELDS), max_rows), dtype=torch.float32)
        self.integers = torch.zeros((len(INTEGER_FIELDS), max_rows), dtype=torch.int64)
        self.setups: list[RowSetup | None] = [None] * max_rows
        self.count_slots: list[int | None] = [None] * max_rows
        self.counts = OutputCounts(vocab_size, self.device, run)
        self.token_ids_V = torch.arange(vocab_size, dtype=torch.int32, device=self.device)
        self._batches: dict[tuple[int, ...], SamplingBatch] = {}

    def apply(self, plan: StepPlan) -> None:
        """Clear and fill rows as ``plan`` says."""
        for row in plan.cleared_rows:
            self.clear_row(row)
        for setup in (*plan.added_rows, *plan.renewed_rows):
            self.set_row(setup)

    def set_row(self, setup: RowSetup) -> None:
        """A request takes a row; whatever was there before is cleared."""
        row = setup.row
        self.clear_row(row)
        top_k = setup.sampling.top_k
        top_k = self.vocab_size if top_k == -1 else min(top_k, self.vocab_size)
        self.floats[:, row] = torch.tensor(_float_values(setup))
        self.integers[:, row] = torch.tensor([setup.seed, top_k])
        self.setups[row] = setup
        if has_penalties(setup):
            self.count_slots[row] = self.counts.acquire(setup.output_token_ids)

    def clear_row(self, row: int) -> None:
        """Reset a row in every array: nothing of its request stays."""
        self._batches = {rows: kept for rows, kept in self._batches.items() if row not in rows}
        self.floats[:, row] = 0.0
        self.integers[:, row] = 0
        self.setups[row] = None
        slot = self.count_slots[row]
        self.count_slots[row] = None
        if slot is not None:
            self.counts.release(slot)

    def batch(self, rows: list[int]) -> SamplingBatch:
        """The parameters of a step's rows; some are kept, as decode steps repeat them."""
        key = tuple(rows)
        if key not in self._batches:
            if len(self._batches) == _KEPT_BATCHES:
                self._batches.clear()
            self._batches[key] = self._gather(list(rows))
        return self._batches[key]

    def _gather(self, rows: list[int]) -> SamplingBatch:
        setups = []
        for row in rows:
            setup = self.setups[row]
            assert setup is not None, f"row {row} is sampled but holds no request"
            setups.append(setup)
        slots = [self.count_slots[row] for row in rows]
        index_R = torch.tensor(rows, dtype=torch.int64)
        return SamplingBatch(
            rows,
            setups,
            slots,
            floats=move(self.floats[:, index_R], self.device),
            integers=move(self.integers[:, index_R], self.device),
            vocab_size=self.vocab_size,
        )


def needs_sampler(setup: RowSetup) -> bool:
    """True where more is done with a row's logits than a draw: see ``adjusted_or_scored``."""
    sampling = setup.sampling
    return (
        has_penalties(setup)
        or bool(sampling.logit_bias)
        or sampling.min_new_tokens > 0
        or setup.logprobs is not None
    )


def has_penalties(setup: RowSetup) -> bool:
    """True where output tokens must be counted."""
    return setup.sampling.has_penalties
