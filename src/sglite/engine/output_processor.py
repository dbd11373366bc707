"""Between collect and commit: verdicts on sampled tokens that need more than their ids.

Only requests with stop strings or regexes cost anything here; the scheduler sees the verdicts. A
fault in a checker is that of its request: the engine ends it and goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from sglite.request import SamplingParams
from sglite.scheduler.plan import RowSetup, StepPlan, StepResult, StopMatch

logger = logging.getLogger(__name__)


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
        self._checkers: dict[int, tuple[str, StopVerdict]] = {}
        self._failed: list[str] = []

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
            row = plan.run_rows[run]
            if row not in self._checkers or entry in result.invalid:
                continue
            match = self._push(row, [result.token_ids[entry]])
            if match is not None:
                result.stops[entry] = match
        return result

    def take_failed(self) -> list[str]:
        """Ids of the requests whose checker has failed since the last call."""
        failed, self._failed = self._failed, []
        return failed

    def _add(self, setup: RowSetup) -> None:
        checker = self._make_checker(setup.sampling)
        if checker is not None:
            self._checkers[setup.row] = (setup.request_id, checker)
            self._push(setup.row, setup.output_token_ids)

    def _push(self, row: int, token_ids: list[int]) -> StopMatch | None:
        request_id, checker = self._checkers[row]
        match = None
        try:
            for token_id in token_ids:
                match = checker.push(token_id)
        except Exception:  # a border: one request must not end the others
            logger.exception("stop_check_failed", extra={"fields": {"request_id": request_id}})
            del self._checkers[row]
            self._failed.append(request_id)
        return match
