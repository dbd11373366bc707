from __future__ import annotations

import numpy as np
import pytest

from sglite.kernels.paged_attention.prefix_groups import (
    LEAST_SAVED_KEYS,
    PrefixGroup,
    find_groups,
    group_tiles,
)


def find(table, num_keys, *, page_size=64, rows=None, tile_keys=64):
    table = np.asarray(table, dtype=np.int32)
    rows = np.arange(len(table), dtype=np.int32) if rows is None else np.asarray(rows, np.int32)
    groups = find_groups(
        table, rows, np.asarray(num_keys, np.int32), page_size=page_size, tile_keys=tile_keys
    )
    return [(group.runs.tolist(), group.begin, group.end) for group in groups]


def pages(*spans: tuple[int, int]) -> list[int]:
    """Page ids ``(first, count)`` one after the other, filled up with zeros."""
    ids = [first + index for first, count in spans for index in range(count)]
    return ids + [0] * (40 - len(ids))


def test_rows_without_a_common_page_are_no_group():
    assert find([pages((1, 20)), pages((50, 20))], [1280, 1280]) == []


def test_rows_share_what_all_of_them_begin_with():
    table = [pages((1, 12), (50 * row, 3)) for row in (1, 2, 3)]
    assert find(table, [900, 900, 800]) == [([0, 1, 2], 0, 768)]


def test_groups_are_found_at_every_level_of_sharing():
    table = [
        pages((1, 10), (100, 10), (200, 2)),
        pages((1, 10), (100, 10), (300, 2)),
        pages((1, 10), (400, 20)),
        pages((1, 10), (100, 10), (500, 10)),
        pages((1, 10), (100, 10), (500, 10), (600, 1)),
    ]
    assert find(table, [1400, 1400, 1900, 1921, 1990]) == [
        ([0, 1, 2, 3, 4], 0, 640),
        ([0, 1, 3, 4], 640, 1280),
        ([3, 4], 1280, 1920),
    ]


def test_only_full_pages_are_shared():
    table = [pages((1, 20)), pages((1, 20))]
    assert find(table, [1279, 1280]) == [([0, 1], 0, 1216)]


def test_equal_entries_behind_a_row_s_keys_are_not_shared():
    table = [pages((1, 8)), pages((100, 8))]
    assert find(table, [512, 512]) == []
    assert find([pages(), pages()], [0, 0]) == []


def test_runs_name_rows_of_the_table():
    table = [pages((90, 20)), pages((1, 20)), pages((70, 20)), pages((1, 20))]
    assert find(table, [1280] * 3, rows=[3, 0, 1]) == [([0, 2], 0, 1280)]


def test_what_saves_little_is_left_to_the_levels_inside():
    few = LEAST_SAVED_KEYS // 64 // 4
    shared = [(1, few)]
    table = [
        pages(*shared, (100, 20)),
        pages(*shared, (100, 20)),
        pages(*shared, (200, 20)),
        pages((300, 20)),
    ]
    assert find(table, [1280] * 4) == [([0, 1], 0, 1280)]


@pytest.mark.parametrize("page_size", [1, 16, 48])
def test_spans_end_at_whole_tiles_of_keys(page_size):
    count = 1000 // page_size
    table = np.arange(1, 1001)[None].repeat(2, axis=0)
    assert find(table, [count * page_size] * 2, page_size=page_size) == [
        ([0, 1], 0, count * page_size // 64 * 64)
    ]


def test_a_group_s_runs_fill_tiles_and_keep_the_rest_to_themselves():
    rows_R = np.array([4, 5, 6, 7], dtype=np.int32)
    outer = PrefixGroup(np.array([0, 1, 3], dtype=np.int32), 0, 640)
    inner = PrefixGroup(np.array([1, 3], dtype=np.int32), 640, 704)
    tiles, begin_R = group_tiles([outer, inner], rows_R, 2)
    assert begin_R.tolist() == [640, 704, 0, 704]
    assert tiles.tokens_Q.tolist() == [0, 1, 3, 1, 3]
    assert tiles.items_U6.tolist() == [
        [0, 2, 4, 0, 640, 0],
        [2, 1, 4, 0, 640, 0],
        [3, 2, 5, 640, 704, 0],
    ]
