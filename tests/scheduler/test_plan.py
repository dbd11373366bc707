"""The contract's containers."""

from __future__ import annotations

from sglite.scheduler.plan import StepPlan


def test_plan_has_page_updates_for_every_group():
    plan = StepPlan(step_id=1, num_groups=2)
    plan.page_updates[1].add(3, 5, 7)
    assert [(u.rows, u.indices, u.page_ids) for u in plan.page_updates] == [
        ([], [], []),
        ([3], [5], [7]),
    ]


def test_plans_share_no_lists():
    first, second = StepPlan(1, 1), StepPlan(2, 1)
    first.page_updates[0].add(0, 0, 0)
    first.run_rows.append(0)
    assert not second.run_rows and not second.page_updates[0].rows


def test_plan_without_runs_is_empty():
    plan = StepPlan(1, 1, cleared_rows=[2])
    assert plan.is_empty
    plan.run_rows.append(0)
    assert not plan.is_empty
