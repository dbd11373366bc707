"""Whole pages of a KV pool copied to others: signature and dispatch.

Shape legend: C pages to copy.
"""

from __future__ import annotations

import torch

from sglite.kernels import triton_support
from sglite.kernels.page_copy import reference


def copy_pages(storage: torch.Tensor, sources_C: torch.Tensor, targets_C: torch.Tensor) -> None:
    """Copy pages in all layers of one KV group, K and V.

    ``storage`` is ``[layers, 2, pages, ...]``, contiguous, of any type and layout (``KVPool``).
    ``sources_C`` and ``targets_C`` are page ids, int32 or int64, on its device. No target is named
    twice, and none is a source.
    """
    if triton_support.runs_on(storage):
        from sglite.kernels.page_copy import triton_page_copy

        triton_page_copy.copy_pages(storage, sources_C, targets_C)
        return
    reference.copy_pages(storage, sources_C, targets_C)
