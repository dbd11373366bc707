"""What an executor keeps of every running request: one row in each array.

Shape legend: T tokens packed, R runs, P pages. See docs/shapes.md.
"""

from __future__ import annotations

import operator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from sglite.executors.forward_batch import (
    AttentionMetadata,
    ForwardBatch,
    HostBatch,
    HostGroup,
    Int32Array,
    IntArray,
)
from sglite.executors.page_tables import PageTables
from sglite.kvcache.groups import KVGroup
from sglite.scheduler.plan import StepPlan


class _Runs(NamedTuple):
    """A plan's runs as arrays: their rows, first tokens, lengths of the sequences, positions."""

    rows_R: IntArray
    offsets: Int32Array
    seq_lens_R: Int32Array
    positions_T: IntArray
    groups: list[HostGroup]


class RowState:
    """Page tables and last tokens of the rows, and the batch that a plan makes of them.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | pages.tables[group] | [max_rows, max_pages] | int32 | 0 where nothing is read |
    | last_token_W | [max_rows] | int64, on the device | what was sampled last for the row |
    """

    def __init__(
        self,
        groups: tuple[KVGroup, ...],
        group_of_layer: list[int],
        *,
        max_rows: int,
        max_pages: int,
        page_size: int,
        device: torch.device,
    ) -> None:
        self._groups = groups
        self._group_of_layer = group_of_layer
        self._page_size = page_size
        self._device = device
        self.pages = PageTables(len(groups), max_rows, max_pages)
        self.last_token_W = torch.zeros(max_rows, dtype=torch.int64, device=device)
        self._counting = np.arange(max_rows + 1, dtype=np.int32)
        self._counting.flags.writeable = False

    def apply(self, plan: StepPlan) -> None:
        """Clear and fill rows and page table entries as ``plan`` says."""
        self.pages.apply(plan)
        for row in plan.cleared_rows:
            self.last_token_W[row] = 0

    @cached_property
    def last_tokens(self) -> IntArray:
        """``last_token_W`` as an array; the device must be the host."""
        return self.last_token_W.numpy()

    def make_host_batch(self, plan: StepPlan) -> HostBatch:
        """The inputs of the forward pass of ``plan``, on the host; the state must be there too."""
        runs = self._lay_out(plan)
        num_continued = plan.run_continues.count(True)
        input_ids_T = self.last_tokens[runs.rows_R[:num_continued]]
        if plan.token_ids:
            known = np.asarray(plan.token_ids, dtype=np.int64)
            input_ids_T = np.concatenate((input_ids_T, known))
        return HostBatch(
            input_ids_T,
            runs.positions_T,
            runs.offsets,
            runs.seq_lens_R,
            runs.groups,
            runs.offsets[1:][plan.sample_runs] - np.int32(1),
        )

    def make_batch(self, plan: StepPlan) -> ForwardBatch:
        """The inputs of the forward pass of ``plan``, on the device."""
        runs = self._lay_out(plan)
        seq_lens_R = torch.from_numpy(runs.seq_lens_R).to(self._device)
        attention = [
            AttentionMetadata(
                page_table_RP=torch.from_numpy(host.page_table_RP).to(self._device),
                out_slots_T=torch.from_numpy(host.out_slots_T).to(self._device),
                run_offsets=runs.offsets.tolist(),
                seq_lens=runs.seq_lens_R.tolist(),
                seq_lens_R=seq_lens_R,
                page_size=self._page_size,
                window=group.window,
            )
            for group, host in zip(self._groups, runs.groups, strict=True)
        ]
        positions_T = torch.from_numpy(runs.positions_T).to(self._device)
        input_ids_T = self._input_ids(plan, runs.offsets)
        return ForwardBatch(input_ids_T, positions_T, attention, self._group_of_layer)

    def _lay_out(self, plan: StepPlan) -> _Runs:
        """Where the tokens of ``plan`` stand in the batch, their sequences and the KV pool.

        A small model's step takes no longer than fifty calls of numpy: there are few here.
        """
        starts = np.asarray(plan.run_starts, dtype=np.int64)
        rows = np.asarray(plan.run_rows, dtype=np.int64)
        if sum(plan.run_lengths) == len(rows):  # one token each
            offsets = self._counting[: len(rows) + 1]
            positions, token_rows = starts, rows
            seq_lens = (starts + 1).astype(np.int32)
        else:
            lengths = np.asarray(plan.run_lengths, dtype=np.int64)
            offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
            np.cumsum(lengths, out=offsets[1:])
            positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
            token_rows = np.repeat(rows, lengths)
            seq_lens = (starts + lengths).astype(np.int32)
        num_pages = -(-max(map(operator.add, plan.run_starts, plan.run_lengths)) // self._page_size)
        page_indices, places = np.divmod(positions, self._page_size)
        groups = []
        for table in self.pages.tables:
            pages = table[token_rows, page_indices]
            out_slots = np.multiply(pages, self._page_size, dtype=np.int64)
            out_slots += places
            groups.append(HostGroup(np.ascontiguousarray(table[rows, :num_pages]), out_slots))
        return _Runs(rows, offsets, seq_lens, positions, groups)

    def _input_ids(self, plan: StepPlan, offsets: Int32Array) -> torch.Tensor:
        """Known tokens from the plan; those sampled last from the device."""
        num_continued = plan.run_continues.count(True)
        rows = torch.tensor(plan.run_rows[:num_continued], dtype=torch.int64, device=self._device)
        continued = self.last_token_W[rows]
        if num_continued == len(plan.run_rows):
            return continued
        assert int(offsets[num_continued]) == num_continued, "continued runs come first, of one"
        known = torch.tensor(plan.token_ids, dtype=torch.int64, device=self._device)
        return torch.cat([continued, known])
