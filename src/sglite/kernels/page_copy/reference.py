"""Copies of pages in torch: the specification.

Shape legend: C pages to copy.
"""

from __future__ import annotations

import torch


def copy_pages(storage: torch.Tensor, sources_C: torch.Tensor, targets_C: torch.Tensor) -> None:
    """See the package."""
    numbers = storage.view(torch.uint8)  # torch copies no rows of 8-bit floats
    numbers.index_copy_(2, targets_C.long(), numbers.index_select(2, sources_C.long()))
