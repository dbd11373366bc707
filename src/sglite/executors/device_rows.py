"""What the executor of an accelerator keeps of every running request, on the device and beside it.

Shape legend: W rows and a spare one, P pages of the longest row, N new rows. See docs/shapes.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sglite.device import Device, Layout, Staging
from sglite.executors.forward_batch import Int32Array
from sglite.executors.page_tables import PageTables
from sglite.kernels.draw import DrawParameters
from sglite.kernels.page_table import update_page_table
from sglite.sampling import SamplingState
from sglite.sampling.state import needs_sampler

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVPool
    from sglite.scheduler.plan import RowSetup, StepPlan


class DeviceRows:
    """Arrays with one row per running request, and a spare row for what pads a batch.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | page_tables[group] | [W, P] | int32, device | stale beyond the sequence's length |
    | last_token_W | [W] | int64, device | what was sampled last for the row |
    | parameters | [W] | device | how the rows draw |
    | pages.tables[group] | [W, P] | int32, host | what the device's will be after this step |
    | sampling | | host | what the sampler needs of rows that need more than a draw |
    | needs_sampler | [W] | list | those rows |

    The table of the spare row names the pool's spare page. Nothing is cleared on the device: a row
    is not read until it is filled again.
    """

    def __init__(
        self, kv_pool: KVPool, *, vocab_size: int, max_rows: int, max_pages: int, device: Device
    ) -> None:
        self._device = device
        on = device.torch_device
        self.spare_row = max_rows
        num_rows = max_rows + 1
        groups = range(len(kv_pool.groups))
        self.pages = PageTables(len(groups), num_rows, max_pages)
        for group in groups:
            self.pages.tables[group][self.spare_row] = kv_pool.spare_page(group)
        self.page_tables = [torch.tensor(table, device=on) for table in self.pages.tables]
        self.last_token_W = torch.zeros(num_rows, dtype=torch.int64, device=on)
        self.parameters = DrawParameters(
            temperature_W=torch.zeros(num_rows, device=on),
            top_p_W=torch.ones(num_rows, device=on),
            min_p_W=torch.zeros(num_rows, device=on),
            seed_W=torch.zeros(num_rows, dtype=torch.int64, device=on),
            top_k_W=torch.ones(num_rows, dtype=torch.int64, device=on),
        )
        self.sampling = SamplingState(max_rows, vocab_size, on, run=device.run)
        self.needs_sampler = [False] * num_rows
        self._staging = Staging(device, 1 << 12)

    def apply(self, plan: StepPlan) -> list[Int32Array]:
        """Follow ``plan`` on the host; the new entries ``[U, 3]`` of the device's page tables."""
        self.sampling.apply(plan)
        for setup in plan.added_rows:
            self.needs_sampler[setup.row] = needs_sampler(setup)
        updates = self.pages.updates(plan)
        self.pages.apply(plan)
        return updates

    def enqueue(self, updates: list[Int32Array], setups: list[RowSetup]) -> None:
        """Write page table entries and new rows on the device, ahead of the step."""
        arrays = self._setup_arrays(setups)
        arrays |= {f"updates.{group}": entries for group, entries in enumerate(updates)}
        layout = Layout({name: array.size for name, array in arrays.items()})
        self._staging.reserve(layout.num_words)
        views = self._staging.bind(layout)
        self._staging.send(layout, arrays)
        self._device.run(lambda: self._write(views))

    def _setup_arrays(self, setups: list[RowSetup]) -> dict[str, Int32Array]:
        """New rows as the sampling state holds them, words of int32: ``rows`` and ``top_ks``
        ``[N]``, ``floats`` ``[N, 3]`` and ``seeds`` ``[N, 2]``.

        Rows that need the sampler count as greedy: what is drawn for them is not used.
        """
        rows = [setup.row for setup in setups]
        floats_N3 = self.sampling.floats[:3, rows].T.contiguous().numpy()
        is_greedy = [s.sampling.is_greedy or self.needs_sampler[s.row] for s in setups]
        floats_N3[np.asarray(is_greedy, dtype=bool), 0] = 0.0
        seeds_N, top_ks_N = self.sampling.integers[:, rows].numpy()
        return {
            "rows": np.asarray(rows, dtype=np.int32),
            "top_ks": top_ks_N.astype(np.int32),
            "floats": floats_N3.view(np.int32),
            "seeds": seeds_N.view(np.int32),
        }

    def _write(self, views: dict[str, torch.Tensor]) -> None:
        for group, table in enumerate(self.page_tables):
            update_page_table(table, views[f"updates.{group}"].view(-1, 3))
        rows_N = views["rows"].long()
        if not len(rows_N):
            return
        temperature_N, top_p_N, min_p_N = views["floats"].view(torch.float32).view(-1, 3).unbind(1)
        parameters = self.parameters
        for target_W, values_N in (
            (parameters.temperature_W, temperature_N),
            (parameters.top_p_W, top_p_N),
            (parameters.min_p_W, min_p_N),
            (parameters.seed_W, views["seeds"].view(torch.int64)),
            (parameters.top_k_W, views["top_ks"].long()),
        ):
            target_W.index_copy_(0, rows_N, values_N)
