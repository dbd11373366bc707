"""Updates of a page table in torch: the specification.

Shape legend: W rows of the executor, P pages of a row, U updates.
"""

from __future__ import annotations

import torch


def update_page_table(table_WP: torch.Tensor, updates_U3: torch.Tensor) -> None:
    """See the package."""
    rows, indices, pages = updates_U3[updates_U3[:, 0] >= 0].unbind(1)
    table_WP[rows.long(), indices.long()] = pages
