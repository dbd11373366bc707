"""Spans of pages hold every visible key and no page that nobody sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sglite.attention.backend import HostRuns
from sglite.attention.page_spans import (
    as_pages,
    gather_page_ids,
    gather_page_tables,
    page_spans,
)

TABLE_WP = np.arange(40, dtype=np.int32).reshape(4, 10) + 100


def make_runs(runs: list[tuple[int, int, int]]) -> HostRuns:
    """Of ``(row, new tokens, KV length)`` each."""
    rows, lengths, seq_lens = (np.asarray(x, dtype=np.int32) for x in zip(*runs, strict=True))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return HostRuns(rows, offsets, seq_lens, TABLE_WP, 0)


# page_size 4: (run, window, first page, pages, keys from there on)
@pytest.mark.parametrize(
    ("run", "window", "first", "pages", "keys"),
    [
        ((2, 1, 1), None, 0, 1, 1),
        ((2, 1, 8), None, 0, 2, 8),
        ((2, 1, 9), None, 0, 3, 9),
        ((2, 1, 9), 1, 2, 1, 1),
        ((2, 1, 9), 2, 1, 2, 5),
        ((2, 1, 9), 5, 1, 2, 5),
        ((2, 1, 9), 6, 0, 3, 9),
        ((2, 1, 9), 100, 0, 3, 9),
        ((2, 5, 17), 4, 2, 3, 9),  # its first token, at 12, sees 9 to 12
        ((2, 5, 17), 5, 2, 3, 9),
        ((2, 5, 17), 6, 1, 4, 13),
    ],
)
def test_span_begins_with_the_first_page_that_is_seen(run, window, first, pages, keys):
    spans = page_spans(make_runs([run]), page_size=4, window=window)

    assert spans.first_entries_R.tolist() == [2 * 10 + first]
    assert spans.num_pages_R.tolist() == [pages]
    assert spans.seq_lens_R.tolist() == [keys]
    assert {spans.first_entries_R.dtype, spans.num_pages_R.dtype, spans.seq_lens_R.dtype} == {
        np.dtype(np.int32)
    }


def test_pages_are_gathered_run_after_run():
    runs = make_runs([(3, 1, 9), (0, 1, 1), (1, 2, 8)])
    spans = page_spans(runs, page_size=4, window=None)
    arrays = [torch.from_numpy(x) for x in (spans.first_entries_R, spans.num_pages_R)]

    ids = gather_page_ids(torch.from_numpy(TABLE_WP), *arrays, 6)

    assert ids.dtype == torch.int32
    assert ids.tolist() == [130, 131, 132, 100, 110, 111]


def test_page_tables_are_cut_from_the_first_visible_page_on():
    first = torch.tensor([30 + 7, 0, 12], dtype=torch.int32)

    tables_RP = gather_page_tables(torch.from_numpy(TABLE_WP), first, 4)

    assert tables_RP.dtype == torch.int32 and tables_RP.is_contiguous()
    assert tables_RP[:, :3].tolist() == [[137, 138, 139], [100, 101, 102], [112, 113, 114]]
    assert tables_RP[0, 3] == 139, "beyond the table's end: its last entry, which nobody follows"


def test_pages_of_a_pool_are_a_view():
    k_SKD = torch.arange(24.0).view(6, 2, 2)
    pages = as_pages(k_SKD, 3)
    assert pages.shape == (2, 3, 2, 2) and pages.data_ptr() == k_SKD.data_ptr()
    assert torch.equal(pages[1, 0], k_SKD[3])
