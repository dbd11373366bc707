"""Between collect and commit: verdicts on sampled tokens that need more than their ids.

Only requests with stop strings or regexes cost anything here; the scheduler sees the verdicts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sglite.request import SamplingParams
from sglite.scheduler.plan import RowSetup, StepPlan, StepResult, StopMatch


class StopVerdict(Protocol):
    """Decides token by token whether a request's text holds one of its stops."""

    def push(self, token_id: int) -> StopMatch | None:
        """Take the next output token."""


MakeStopChecker = Callable[[SamplingParams], StopVerdict | None]
"""A checker for a request, None where it has no stops."""


class OutputProcessor:
    """Keeps a stop checker per row that needs one."""

    def __init__(self, make_checker: MakeStopChecker) -> None:
        self._make_checker = make_checker
        self._checkers: dict[int, StopVerdict] = {}

    def observe(self, plan: StepPlan) -> None:
        """Follow the rows of a plan that is about to be launched.

        A row is cleared only after the last step that names it was committed, so no open step
        loses its checker.
        """
        for row in plan.cleared_rows:
            self._checkers.pop(row, None)
        for setup in plan.added_rows:
            self._add(setup)

    def judge(self, plan: StepPlan, result: StepResult) -> StepResult:
        """Add the verdicts on ``result``'s tokens to it."""
        if not self._checkers:
            return result
        for entry, run in enumerate(plan.sample_runs):
            checker = self._checkers.get(plan.run_rows[run])
            if checker is None or entry in result.invalid:
                continue
            match = checker.push(result.token_ids[entry])
            if match is not None:
                result.stops[entry] = match
        return result

    def _add(self, setup: RowSetup) -> None:
        checker = self._make_checker(setup.sampling)
        if checker is None:
            return
        for token_id in setup.output_token_ids:
            checker.push(token_id)
        self._checkers[setup.row] = checker
