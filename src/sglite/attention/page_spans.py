"""Which pages the libraries' backends are told of: those with a key that some new token sees.

With a window, the pages before it may belong to others by now and their entries in the page table
mean nothing, so a sequence begins with its first visible page.

Shape legend: R runs, W rows of the executor, P pages of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sglite.attention.backend import HostRuns, Int32Array


@dataclass(frozen=True, slots=True)
class PageSpans:
    """A range of page table entries per run.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | first_entries_R | [R] | int32 | first visible page's entry in the flat page table [W * P] |
    | num_pages_R | [R] | int32 | pages from there on |
    | seq_lens_R | [R] | int32 | KV length counted from that page's first slot |
    """

    first_entries_R: Int32Array
    num_pages_R: Int32Array
    seq_lens_R: Int32Array


def page_spans(runs: HostRuns, *, page_size: int, window: int | None) -> PageSpans:
    """The pages that the tokens of each run see."""
    first_pages_R = np.zeros_like(runs.seq_lens_R)
    if window is not None:
        first_positions_R = runs.seq_lens_R - np.diff(runs.offsets)
        first_pages_R = np.maximum(0, first_positions_R - window + 1) // page_size
    seq_lens_R = runs.seq_lens_R - first_pages_R * page_size
    return PageSpans(
        (runs.rows_R * runs.page_table_WP.shape[1] + first_pages_R).astype(np.int32),
        (-(-seq_lens_R // page_size)).astype(np.int32),
        seq_lens_R.astype(np.int32),
    )


def as_pages(x_SKD: torch.Tensor, page_size: int) -> torch.Tensor:
    """A layer's keys or values as ``[pages, page_size, K, D]``, in place."""
    return x_SKD.view(-1, page_size, *x_SKD.shape[1:])


def gather_page_tables(
    page_table_WP: torch.Tensor, first_entries_R: torch.Tensor, width: int
) -> torch.Tensor:
    """Page tables of the spans: int32 ``[R, width]``. What stands behind a span means nothing."""
    flat = page_table_WP.flatten()
    steps = torch.arange(width, dtype=torch.int32, device=flat.device)
    return flat[(first_entries_R[:, None] + steps).clamp_(max=len(flat) - 1)]


def gather_page_ids(
    page_table_WP: torch.Tensor,
    first_entries_R: torch.Tensor,
    num_pages_R: torch.Tensor,
    size: int,
) -> torch.Tensor:
    """Pages of all spans one after the other: int32 ``[size]``. Any that are left mean nothing."""
    flat = page_table_WP.flatten()
    ends_R = num_pages_R.cumsum(0, dtype=torch.int32)
    places = torch.arange(size, dtype=torch.int32, device=flat.device)
    runs = torch.searchsorted(ends_R, places, right=True).clamp_(max=len(ends_R) - 1)
    entries = (first_entries_R - (ends_R - num_pages_R))[runs] + places
    return flat[entries.clamp_(max=len(flat) - 1)]
