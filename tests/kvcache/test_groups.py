"""Which pages a KV group still reads."""

from __future__ import annotations

import pytest

from sglite.kvcache.groups import KVGroup


def test_full_group_needs_every_page():
    group = KVGroup("paged_full", (0,))
    assert [group.first_needed_page(n, 4) for n in (0, 5, 1000)] == [0, 0, 0]


@pytest.mark.parametrize("page_size", [1, 2, 4, 16])
@pytest.mark.parametrize("window", [1, 2, 4, 5, 16, 33])
def test_window_starts_in_the_page_of_the_oldest_position_it_covers(window, page_size):
    group = KVGroup("paged_window", (0,), window)
    for position in range(100):
        covered = range(max(0, position - window + 1), position + 1)
        assert group.first_needed_page(position, page_size) == covered[0] // page_size


def test_window_belongs_to_window_groups_alone():
    with pytest.raises(AssertionError, match="window"):
        KVGroup("paged_window", (0,))
    with pytest.raises(AssertionError, match="window"):
        KVGroup("paged_full", (0,), window=4)
