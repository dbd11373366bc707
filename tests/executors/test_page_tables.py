"""The host's page tables follow the plans, and list what a device has to write."""

from __future__ import annotations

import pytest

from sglite.executors.page_tables import PageTables
from sglite.request import SamplingParams
from sglite.scheduler.plan import RowSetup, StepPlan


def setup(row: int, *page_ids: list[int]) -> RowSetup:
    return RowSetup(row, f"r{row}", SamplingParams(), None, 0, (), 1, page_ids, [])


def plan_of(*setups: RowSetup, cleared: tuple[int, ...] = ()) -> StepPlan:
    return StepPlan(1, 2, added_rows=list(setups), cleared_rows=list(cleared))


@pytest.fixture
def pages() -> PageTables:
    return PageTables(2, num_rows=4, num_pages=5)


def test_rows_are_filled_cleared_and_filled_again(pages):
    pages.apply(plan_of(setup(2, [5, 6], [0, 7])))
    assert pages.tables[0][2].tolist() == [5, 6, 0, 0, 0]
    assert pages.tables[1][2].tolist() == [0, 7, 0, 0, 0]

    pages.apply(plan_of(setup(2, [9], [8]), cleared=(2,)))
    assert pages.tables[0][2].tolist() == [9, 0, 0, 0, 0]
    assert pages.tables[1][2].tolist() == [8, 0, 0, 0, 0]


def test_a_further_page_leaves_the_version_and_a_replaced_one_does_not(pages):
    pages.apply(plan_of(setup(1, [3], [4])))
    version = pages.version
    further = plan_of()
    further.page_updates[0].add(1, 1, 8)
    pages.apply(further)
    assert pages.version == version

    replacing = plan_of()
    replacing.page_updates[1].add(1, 0, 9)
    pages.apply(replacing)
    assert pages.version == version + 1
    pages.apply(plan_of(cleared=(1,)))
    assert pages.version == version + 2


def test_updates_name_every_entry_once_with_its_last_page(pages):
    plan = plan_of(setup(0, [5, 6], [7]), setup(3, [2], []))
    plan.page_updates[0].add(0, 1, 9)
    plan.page_updates[1].add(2, 4, 1)
    first, second = pages.updates(plan)
    assert sorted(first.tolist()) == [[0, 0, 5], [0, 1, 9], [3, 0, 2]]
    assert sorted(second.tolist()) == [[0, 0, 7], [2, 4, 1]]


def test_a_plan_without_pages_updates_nothing(pages):
    assert [updates.shape for updates in pages.updates(plan_of())] == [(0, 3), (0, 3)]
