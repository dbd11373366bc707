"""Entries of a page table on the device, brought up to date by a step: signature and dispatch.

Shape legend: W rows of the executor, P pages of a row, U updates.
"""

from __future__ import annotations

import torch

from sglite.kernels import triton_support
from sglite.kernels.page_table import reference


def update_page_table(table_WP: torch.Tensor, updates_U3: torch.Tensor) -> None:
    """``table[row, index] = page`` for int32 triples (row, index, page), in an int32 table.

    A triple with a negative row does nothing: a captured step has room for a fixed number of them.
    No entry is named twice.
    """
    if triton_support.runs_on(table_WP):
        from sglite.kernels.page_table import triton_page_table

        triton_page_table.update_page_table(table_WP, updates_U3)
        return
    reference.update_page_table(table_WP, updates_U3)
