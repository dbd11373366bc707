"""Which rows of a step share pages: a tree of groups, found in the page table itself.

Rows that begin with the same pages form a group over what all of them share; among them, rows that
share more form groups of their own behind it, at every level. Only the page table is asked, so it
does not matter how the pages came to be shared.

Shape legend: R runs, W rows of the page table, P pages of a row. See docs/shapes.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sglite.kernels.paged_attention.work_list import Int32Array, Tiles

LEAST_SAVED_KEYS = 512
"""Reads of keys that a group saves at least. Its parts cost about as much as ten keys for each row
and level, and a merge that may not have been needed otherwise; not measured."""


@dataclass(frozen=True, slots=True)
class PrefixGroup:
    """Runs (indices among R) that share the keys from ``begin`` to ``end``."""

    runs: Int32Array
    begin: int
    end: int


def find_groups(
    page_table_WP: Int32Array,
    rows_R: Int32Array,
    num_keys_R: Int32Array,
    *,
    page_size: int,
    tile_keys: int,
) -> list[PrefixGroup]:
    """Groups of the runs, outer ones before those inside them, each inside at most one.

    Only the first ``num_keys_R`` keys of a run are shared, in full pages. Spans begin and end at
    multiples of ``tile_keys``. A group behind another begins where that one ends.
    """
    pages_R = num_keys_R // np.int32(page_size)
    width = int(pages_R.max(initial=0))
    table_RP = page_table_WP[rows_R, :width]
    # Nothing is shared behind a row's full pages: each has a number of its own there.
    beyond_RP = np.arange(width) >= pages_R[:, None]
    nobody_R1 = -1 - np.arange(len(rows_R), dtype=np.int32)[:, None]
    table_RP = np.where(beyond_RP, nobody_R1, table_RP)
    groups: list[PrefixGroup] = []
    candidates = [(np.arange(len(rows_R), dtype=np.int32), 0, 0)]
    while candidates:
        runs, page, begin = candidates.pop()
        for alike in _alike(table_RP[runs, page] if page < width else nobody_R1[runs, 0]):
            members = runs[alike]
            shared = page + _num_shared(table_RP[members, page:])
            end = shared * page_size // tile_keys * tile_keys
            if (len(members) - 1) * (end - begin) >= LEAST_SAVED_KEYS:
                groups.append(PrefixGroup(members, begin, end))
                candidates.append((members, shared, end))
            else:
                candidates.append((members, shared, begin))
    return groups


def group_tiles(
    groups: list[PrefixGroup], rows_R: Int32Array, tile_tokens: int
) -> tuple[Tiles, Int32Array]:
    """The groups as tiles of queries, and where each run's keys are its own ``[R]``.

    Run i is token i: the runs are decodes.
    """
    tokens_Q = np.concatenate([group.runs for group in groups])
    private_begin_R = np.zeros(len(rows_R), dtype=np.int32)
    items: list[tuple[int, ...]] = []
    first = 0
    for group in groups:  # an inner one comes later, and ends later
        private_begin_R[group.runs] = group.end
        row = int(rows_R[group.runs[0]])
        end = first + len(group.runs)
        while first < end:
            count = min(tile_tokens, end - first)
            items.append((first, count, row, group.begin, group.end, 0))
            first += count
    return Tiles(np.array(items, dtype=np.int32), tokens_Q), private_begin_R


def _alike(page_ids: Int32Array) -> Iterator[Int32Array]:
    """Places of equal page ids, where there are several, in order."""
    order = np.argsort(page_ids, kind="stable")
    sorted_ids = page_ids[order]
    starts = np.flatnonzero(np.diff(sorted_ids, prepend=sorted_ids[0] - 1))
    ends = np.append(starts[1:], len(order))
    for index in np.flatnonzero(ends - starts > 1):
        yield order[starts[index] : ends[index]]


def _num_shared(table_MP: Int32Array) -> int:
    """Leading pages that are the same in all rows."""
    is_same_P = (table_MP == table_MP[0]).all(axis=0)
    return len(is_same_P) if is_same_P.all() else int(is_same_P.argmin())
