"""Decode steps of every batch size as a few captured graphs: a batch is padded to the next size.

Shape legend: B runs of one token with padding, S sampled runs, U new page table entries, W rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch

from sglite.attention.backend import HostRuns
from sglite.attention.parted import Part
from sglite.device import Device, Graph, Layout, Staging
from sglite.executors.device_step import DeviceParts, DeviceStep, RunShape
from sglite.executors.forward_batch import Int32Array
from sglite.scheduler.plan import StepPlan

if TYPE_CHECKING:
    from sglite.attention.backend import AttentionBackend

SPARE_UPDATES = 64
"""Page table entries beyond one per row that a graph writes itself; more go ahead of it."""


def graph_sizes(largest: int) -> list[int]:
    """1, 2, 4, 8, then every eighth up to 256 and every sixteenth beyond; ``largest`` ends them."""
    steps = [1, 2, 4, *range(8, 257, 8), *range(272, largest + 1, 16)]
    return [*(size for size in steps if size < largest), largest] if largest > 0 else []


class DecodeGraphs:
    """Captured decode steps, and the arrays that they read.

    ``backends`` has one decode backend per KV group. Raises nothing: what cannot be captured is not
    put here.
    """

    def __init__(
        self,
        device: Device,
        parts: DeviceParts,
        backends: list[AttentionBackend],
        sizes: Iterable[int],
        *,
        max_tokens: int,
        results: torch.Tensor,
    ) -> None:
        self._device = device
        self._parts = parts
        self._backends = backends
        self._max_tokens = max_tokens
        self._results = results
        self.sizes = sorted(sizes)
        self._layouts = {size: Layout(self._capacities(size)) for size in self.sizes}
        num_words = max((layout.num_words for layout in self._layouts.values()), default=0)
        self._staging = Staging(device, num_words)
        self._size_of = np.searchsorted(self.sizes, np.arange(max(self.sizes, default=0) + 1))
        most = max(self.sizes, default=0)
        self._unknown_B = torch.full((most,), -1, dtype=torch.int32, device=device.torch_device)
        self._captured: dict[int, tuple[Graph, DeviceStep]] = {}
        vocab_size = parts.model.spec.vocab_size if parts.is_drawing else 0
        dtype = parts.model.dtype
        self._logits_BV = torch.empty((most, vocab_size), dtype=dtype, device=device.torch_device)

    def _capacities(self, size: int) -> dict[str, int]:
        """Words of each array of a step of ``size`` runs."""
        words = dict.fromkeys(("rows", "positions", "sample_positions"), size)
        for group, backend in enumerate(self._backends):
            words[f"updates.{group}"] = 3 * self.max_updates(size)
            for name, capacity in backend.capacities(size).items():
                words[f"decode.{group}.{name}"] = capacity
        return words

    @staticmethod
    def max_updates(size: int) -> int:
        """Page table entries of one KV group that a graph of ``size`` has room for."""
        return size + SPARE_UPDATES

    def size_for(self, plan: StepPlan, updates: list[Int32Array]) -> int | None:
        """The graph that can do ``plan``; None: it has longer runs, new rows or too many runs."""
        count = len(plan.run_rows)
        if not self.sizes or count > self.sizes[-1] or plan.added_rows:
            return None
        if not all(plan.run_continues):
            return None
        size = self.sizes[self._size_of[count]]
        return size if all(len(u) <= self.max_updates(size) for u in updates) else None

    def capture_all(self, advance: Callable[[int], None] = lambda count: None) -> None:
        """Capture every size, the largest first; ``advance`` gets 1 after each."""
        for size in reversed(self.sizes):
            self.capture(size)
            advance(1)

    @torch.inference_mode()
    def capture(self, size: int) -> tuple[Graph, DeviceStep]:
        """Capture the graph of ``size``, unless there is one.

        Capturing may do the step, so what is staged by then is a batch of nothing but padding.
        """
        if size not in self._captured:
            nothing: list[Int32Array] = [np.empty((0, 3), dtype=np.int32) for _ in self._backends]
            with self._device.stream():
                step = self._make_step(size)
                self._staging.send(self._layouts[size], self._arrays(size, [], [], nothing))
                self._captured[size] = (self._device.capture(step), step)
        return self._captured[size]

    def _make_step(self, size: int) -> DeviceStep:
        views = self._staging.bind(self._layouts[size])
        views |= {"known": self._unknown_B[:size], "sample_rows": views["rows"]}
        tables = self._parts.rows.page_tables
        attention = []
        for group, backend in enumerate(self._backends):
            prefix = f"decode.{group}."
            staged = {
                name.removeprefix(prefix): view
                for name, view in views.items()
                if name.startswith(prefix)
            }
            attention.append([Part(0, size, backend.bind(staged, tables[group]))])
        shape = RunShape(list(range(size + 1)), [self._max_tokens] * size)
        return DeviceStep(
            self._parts,
            views,
            attention,
            shape,
            self._results[:size],
            logits_SV=self._logits_BV[:size],
        )

    def replay(self, size: int, plan: StepPlan, updates: list[Int32Array]) -> DeviceStep:
        """Stage ``plan`` and replay the graph of ``size``, captured now if it was not yet."""
        graph, step = self.capture(size)
        arrays = self._arrays(size, plan.run_rows, plan.run_starts, updates)
        self._staging.send(self._layouts[size], arrays)
        graph.replay()
        return step

    def _arrays(
        self, size: int, run_rows: list[int], starts: list[int], updates: list[Int32Array]
    ) -> dict[str, Int32Array]:
        """What is staged for these runs, padded to ``size`` with runs of the spare row."""
        count, rows = len(run_rows), self._parts.rows
        rows_B = np.full(size, rows.spare_row, dtype=np.int32)
        rows_B[:count] = run_rows
        positions_B = np.zeros(size, dtype=np.int32)
        positions_B[:count] = starts
        seq_lens_B = positions_B + np.int32(1)
        arrays = {"rows": rows_B, "positions": positions_B, "sample_positions": seq_lens_B}
        offsets = np.arange(size + 1, dtype=np.int32)
        for group, backend in enumerate(self._backends):
            arrays[f"updates.{group}"] = self._padded(updates[group], self.max_updates(size))
            table = rows.pages.tables[group]
            version = rows.pages.version
            runs = HostRuns(rows_B, offsets, seq_lens_B, table, version, is_replayed=True)
            for name, array in backend.plan(runs).items():
                arrays[f"decode.{group}.{name}"] = array
        return arrays

    @staticmethod
    def _padded(entries: Int32Array, count: int) -> Int32Array:
        """``[count, 3]``: rows below 0 say that there is nothing to write."""
        padded: Int32Array = np.full((count, 3), -1, dtype=np.int32)
        padded[: len(entries)] = entries
        return padded
