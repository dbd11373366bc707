"""The page tables of the rows, on the host, as the plans leave them.

Shape legend: W rows of the executor, P pages of the longest row, U new entries. See docs/shapes.md.
"""

from __future__ import annotations

import numpy as np

from sglite.executors.forward_batch import Int32Array
from sglite.scheduler.plan import StepPlan


class PageTables:
    """One table per KV group: int32 ``[W, P]``, 0 where nothing is read.

    ``version`` counts the steps that replaced, filled or cleared entries which stood in a table
    before; a row that merely gets a further page does not count.
    """

    def __init__(self, num_groups: int, num_rows: int, num_pages: int) -> None:
        self.tables: list[Int32Array] = [
            np.zeros((num_rows, num_pages), dtype=np.int32) for _ in range(num_groups)
        ]
        self.version = 0

    def apply(self, plan: StepPlan) -> None:
        """Clear and fill rows and entries as ``plan`` says."""
        if plan.cleared_rows or plan.added_rows:
            self.version += 1
        for row in plan.cleared_rows:
            for table in self.tables:
                table[row] = 0
        for setup in plan.added_rows:
            for table, page_ids in zip(self.tables, setup.page_ids, strict=True):
                table[setup.row, : len(page_ids)] = page_ids
        for table, updates in zip(self.tables, plan.page_updates, strict=True):
            if updates.rows:
                self.version += bool(table[updates.rows, updates.indices].any())
                table[updates.rows, updates.indices] = updates.page_ids

    def updates(self, plan: StepPlan) -> list[Int32Array]:
        """What :meth:`apply` writes besides zeros, per group: ``[U, 3]`` of row, index, page.

        Where a plan writes an entry twice, only the last of them is listed, so that a device may
        write all at once.
        """
        return [self._updates_of(group, plan) for group in range(len(self.tables))]

    def _updates_of(self, group: int, plan: StepPlan) -> Int32Array:
        late = plan.page_updates[group]
        pages = {
            (setup.row, index): page
            for setup in plan.added_rows
            for index, page in enumerate(setup.page_ids[group])
        }
        places = zip(late.rows, late.indices, strict=True)
        pages.update(zip(places, late.page_ids, strict=True))
        entries: Int32Array = np.empty((len(pages), 3), dtype=np.int32)
        if pages:
            entries[:, :2] = list(pages)
            entries[:, 2] = list(pages.values())
        return entries
