"""The sampling parameters of one step's rows, gathered, with what the host knows about them.

Which rows are greedy, filter, carry penalties or a bias is decided here once, on the host, so that
a step takes its short cuts without asking the device.

Shape legend: R rows of the step, V vocab, B logit-bias entries, M stop ids masked for a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch

from sglite.device.upload import upload
from sglite.sampling.logprobs import LogprobSelection
from sglite.scheduler.plan import RowSetup

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


class RowSelection:
    """Some of the R rows of a step. Selecting all of them makes views, not copies."""

    def __init__(self, indices: list[int], num_rows: int, device: torch.device) -> None:
        self.indices = indices
        self.is_all = len(indices) == num_rows
        self.tensor = upload(indices, torch.int64, device)

    def __len__(self) -> int:
        return len(self.indices)

    def chunks(self, size: int) -> Iterator[tuple[slice | torch.Tensor, slice]]:
        """Pieces of at most ``size`` rows: an index into [R, ...], and into this selection."""
        for begin in range(0, len(self.indices), size):
            part = slice(begin, min(begin + size, len(self.indices)))
            yield (part if self.is_all else self.tensor[part]), part


class SamplingBatch:
    """Parameters of R rows.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | temperature_R, top_p_R, min_p_R, presence_R, frequency_R, repetition_R | [R] | fp32 | |
    | seed_R, top_k_R | [R] | int64 | |
    | greedy, plain, filtered | | RowSelection | a partition of the rows by how they draw |
    | penalized, scored | | RowSelection | rows with penalties; rows that ask for logprobs |
    | slots | [penalized] | int64 | their slots in OutputCounts |
    | bias_rows_B, bias_ids_B, bias_B | [B] | int64, int64, fp32 | logit_bias |
    | stop_rows_M, stop_ids_M, stop_from_M | [M] | int64 | legal from this position on |
    | adjusted_or_scored | | list | rows that need more of their logits than a draw |
    """

    def __init__(
        self,
        rows: list[int],
        setups: Sequence[RowSetup],
        slots: Sequence[int | None],
        *,
        floats: torch.Tensor,
        integers: torch.Tensor,
        vocab_size: int,
    ) -> None:
        self.rows = rows
        self._device = floats.device
        self.temperature_R, self.top_p_R, self.min_p_R = floats[:3].unbind(0)
        self.presence_R, self.frequency_R, self.repetition_R = floats[3:].unbind(0)
        self.seed_R, self.top_k_R = integers.unbind(0)
        self._split_by_draw(setups, vocab_size)
        self._gather_penalties(setups, slots)
        self._gather_bias(setups, vocab_size)
        self._gather_stops(setups, vocab_size)
        asking = [i for i, setup in enumerate(setups) if setup.logprobs is not None]
        self.scored = self._select(asking)
        params = [setup.logprobs for setup in setups if setup.logprobs is not None]
        self.logprobs = LogprobSelection(params, self._device)
        adjusted = [*self.penalized.indices, *self._biased, *self._stopping]
        self.adjusted_or_scored = sorted({*adjusted, *asking})

    @property
    def adjusts_logits(self) -> bool:
        """True where penalties, a bias or a minimum length change the logits of some row."""
        return bool(len(self.penalized) or self.num_bias or self.num_stops)

    def draws(self, positions: list[int]) -> tuple[FloatArray, IntArray] | None:
        """How the rows draw, as the host's compiled kernels read it; None where none draws.

        Float32 ``[3, R]``: temperature, top_p, min_p; int64 ``[3, R]``: seed, top_k, position.
        The temperature of greedy rows, and of those that need more than a draw, is 0. Only on the
        host.
        """
        if self._drawn is None:
            return None
        floats, integers = self._drawn
        return floats, np.concatenate((integers, np.asarray([positions], dtype=np.int64)))

    @cached_property
    def _drawn(self) -> tuple[FloatArray, IntArray] | None:
        """What of :meth:`draws` is the same in every step."""
        others = sorted({*self.greedy.indices, *self.adjusted_or_scored})
        if len(others) == len(self.rows):
            return None
        floats = torch.stack((self.temperature_R, self.top_p_R, self.min_p_R))
        floats[0, others] = 0.0
        return floats.numpy(), torch.stack((self.seed_R, self.top_k_R)).numpy()

    def _select(self, indices: list[int]) -> RowSelection:
        return RowSelection(indices, len(self.rows), self._device)

    def _split_by_draw(self, setups: Sequence[RowSetup], vocab_size: int) -> None:
        greedy, plain, filtered = [], [], []
        self.max_top_k = 1
        for i, setup in enumerate(setups):
            sampling = setup.sampling
            if sampling.is_greedy:
                greedy.append(i)
            elif sampling.top_k == -1 and sampling.top_p == 1.0 and sampling.min_p == 0.0:
                plain.append(i)
            else:
                filtered.append(i)
                top_k = vocab_size if sampling.top_k == -1 else sampling.top_k
                self.max_top_k = max(self.max_top_k, top_k)
        self.greedy = self._select(greedy)
        self.plain = self._select(plain)
        self.filtered = self._select(filtered)

    def _gather_penalties(self, setups: Sequence[RowSetup], slots: Sequence[int | None]) -> None:
        taken = [(i, slot) for i, slot in enumerate(slots) if slot is not None]
        sampling = [setups[i].sampling for i, _ in taken]
        self.penalized = self._select([i for i, _ in taken])
        self.slots = self._integers([slot for _, slot in taken])
        self.has_additive = any(p.presence_penalty or p.frequency_penalty for p in sampling)
        self.has_repetition = any(p.repetition_penalty != 1.0 for p in sampling)

    def _gather_bias(self, setups: Sequence[RowSetup], vocab_size: int) -> None:
        entries = [
            (i, token_id, bias)
            for i, setup in enumerate(setups)
            for token_id, bias in (setup.sampling.logit_bias or {}).items()
        ]
        # An index past the end of a row would write into the next one.
        assert all(0 <= token_id < vocab_size for _, token_id, _ in entries), "bias beyond vocab"
        self.num_bias = len(entries)
        self._biased = [i for i, _, _ in entries]
        self.bias_rows_B = self._integers(self._biased)
        self.bias_ids_B = self._integers([token_id for _, token_id, _ in entries])
        biases = [bias for _, _, bias in entries]
        self.bias_B = upload(biases, torch.float32, self._device)

    def _gather_stops(self, setups: Sequence[RowSetup], vocab_size: int) -> None:
        # A tokenizer may name an EOS id that the head does not have; it can never be sampled.
        entries = [
            (i, token_id, setup.num_prompt_tokens + setup.sampling.min_new_tokens)
            for i, setup in enumerate(setups)
            if setup.sampling.min_new_tokens > 0
            for token_id in setup.stop_token_ids
            if 0 <= token_id < vocab_size
        ]
        self.num_stops = len(entries)
        self._stopping = [i for i, _, _ in entries]
        self.stop_rows_M = self._integers(self._stopping)
        self.stop_ids_M = self._integers([token_id for _, token_id, _ in entries])
        self.stop_from_M = self._integers([position for _, _, position in entries])

    def _integers(self, values: list[int]) -> torch.Tensor:
        return upload(values, torch.int64, self._device)
