"""What an executor keeps of every running request: one row in each array.

Shape legend: T tokens packed, R runs, P pages. See docs/shapes.md.
"""

from __future__ import annotations

import numpy as np
import torch

from sglite.engine.forward_batch import AttentionMetadata, ForwardBatch
from sglite.kvcache.groups import KVGroup
from sglite.scheduler.plan import StepPlan

IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


class RowState:
    """Page tables and last tokens of the rows, and the batch that a plan makes of them.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | page_tables[group] | [max_rows, max_pages] | int32 | 0 where nothing is read |
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
        self.page_tables = [np.zeros((max_rows, max_pages), dtype=np.int32) for _ in groups]
        self.last_token_W = torch.zeros(max_rows, dtype=torch.int64, device=device)

    def apply(self, plan: StepPlan) -> None:
        """Clear and fill rows and page table entries as ``plan`` says."""
        for row in plan.cleared_rows:
            self._clear(row)
        for setup in plan.added_rows:
            for table, page_ids in zip(self.page_tables, setup.page_ids, strict=True):
                table[setup.row, : len(page_ids)] = page_ids
        for table, updates in zip(self.page_tables, plan.page_updates, strict=True):
            if updates.rows:
                table[updates.rows, updates.indices] = updates.page_ids

    def make_batch(self, plan: StepPlan) -> ForwardBatch:
        """The inputs of the forward pass of ``plan``, on the device."""
        lengths = np.asarray(plan.run_lengths, dtype=np.int64)
        starts = np.asarray(plan.run_starts, dtype=np.int64)
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        rows = np.asarray(plan.run_rows, dtype=np.int64)
        token_rows = np.repeat(rows, lengths)
        seq_lens = starts + lengths
        seq_lens_R = torch.from_numpy(seq_lens.astype(np.int32)).to(self._device)
        num_pages = -(-int(seq_lens.max()) // self._page_size)
        attention = []
        for group, table in zip(self._groups, self.page_tables, strict=True):
            pages = table[token_rows, positions // self._page_size].astype(np.int64)
            out_slots = pages * self._page_size + positions % self._page_size
            attention.append(
                AttentionMetadata(
                    page_table_RP=torch.from_numpy(table[rows, :num_pages]).to(self._device),
                    out_slots_T=torch.from_numpy(out_slots).to(self._device),
                    run_offsets=offsets.tolist(),
                    seq_lens=seq_lens.tolist(),
                    seq_lens_R=seq_lens_R,
                    page_size=self._page_size,
                    window=group.window,
                )
            )
        positions_T = torch.from_numpy(positions).to(self._device)
        input_ids_T = self._input_ids(plan, offsets)
        return ForwardBatch(input_ids_T, positions_T, attention, self._group_of_layer)

    def _input_ids(self, plan: StepPlan, offsets: IntArray) -> torch.Tensor:
        """Known tokens from the plan; those sampled last from the device."""
        num_continued = plan.run_continues.count(True)
        rows = torch.tensor(plan.run_rows[:num_continued], dtype=torch.int64, device=self._device)
        continued = self.last_token_W[rows]
        if num_continued == len(plan.run_rows):
            return continued
        assert int(offsets[num_continued]) == num_continued, "continued runs come first, of one"
        known = torch.tensor(plan.token_ids, dtype=torch.int64, device=self._device)
        return torch.cat([continued, known])

    def _clear(self, row: int) -> None:
        """Nothing of a row's request stays in any array."""
        for table in self.page_tables:
            table[row] = 0
        self.last_token_W[row] = 0
