"""What stands between the model's logits and the scheduler: masks before, verdicts after.

Before a step is sampled, grammars say which tokens are legal. Between collect and commit, grammars
take the sampled tokens and may put others in their place, and stop strings are looked for. Only
requests that have either cost anything here; the scheduler sees the verdicts. A fault in a grammar
or a checker is that of its request: the engine ends it and goes on.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from sglite.grammar.backend import GrammarTooComplexError
from sglite.grammar.constraint import Taken
from sglite.grammar.masks import MaskFiller, MaskSource, PendingMasks
from sglite.request import SamplingParams
from sglite.sampling.masks import TokenMasks
from sglite.scheduler.plan import RowSetup, StepPlan, StepResult, StopMatch

logger = logging.getLogger(__name__)


class StopVerdict(Protocol):
    """Decides token by token whether a request's text holds one of its stops."""

    def push(self, token_id: int) -> StopMatch | None:
        """Take the next output token."""


class RowConstraint(MaskSource, Protocol):
    """What a request's answer must look like: see :class:`sglite.grammar.constraint.Constraint`."""

    @property
    def needs_mask(self) -> bool:
        """False where any token may come next."""

    def take(self, token_id: int) -> Taken:
        """The model sampled this; what stands instead or besides."""

    def replay(self, token_ids: list[int]) -> None:
        """The request has these behind it."""


MakeStopChecker = Callable[[SamplingParams], StopVerdict | None]
"""A checker for a request, None where it has no stops."""

MakeConstraint = Callable[[RowSetup], RowConstraint | None]
"""The constraint of a request, None where its answer is free."""


class _FollowedStep(NamedTuple):
    """An open step while any row has a constraint."""

    plan: StepPlan
    sampled_rows: set[int]


class OutputProcessor:
    """Keeps a constraint and a stop checker for each row that needs one."""

    def __init__(
        self,
        make_checker: MakeStopChecker,
        make_constraint: MakeConstraint = lambda setup: None,
        filler: MaskFiller | None = None,
    ) -> None:
        self._make_checker = make_checker
        self._make_constraint = make_constraint
        self._filler = filler
        self._request_ids: dict[int, str] = {}
        self._checkers: dict[int, StopVerdict] = {}
        self._constraints: dict[int, RowConstraint] = {}
        self._open: deque[_FollowedStep] = deque()
        self._void: set[tuple[int, int]] = set()
        self._failed: dict[str, str] = {}

    def observe(self, plan: StepPlan) -> None:
        """Follow the rows of a plan that is about to be launched, and mark its masked runs.

        A row is cleared only after the last step that names it was committed, so no open step
        loses its checker.
        """
        for row in plan.cleared_rows:
            self._request_ids.pop(row, None)
            self._checkers.pop(row, None)
            self._constraints.pop(row, None)
        for setup in plan.added_rows:
            self._add(setup)
        if self._constraints:
            rows = {plan.run_rows[run] for run in plan.sample_runs}
            self._open.append(_FollowedStep(plan, rows))
            plan.masked_runs = [
                run for run in plan.sample_runs if plan.run_rows[run] in self._constraints
            ]

    def can_mask(self, plan: StepPlan) -> bool:
        """True where the grammars have seen all tokens that the masks of ``plan`` depend on: no
        open step before it samples one of their rows.
        """
        rows = {plan.run_rows[run] for run in plan.masked_runs}
        if not rows:
            return True
        earlier = itertools.takewhile(lambda step: step.plan is not plan, self._open)
        return all(rows.isdisjoint(step.sampled_rows) for step in earlier)

    def begin_masks(self, plan: StepPlan) -> PendingMasks:
        """Start to fill the masks of ``plan``, which :meth:`can_mask`."""
        assert self._filler is not None, "constraints need somebody who fills masks"
        entries, sources = [], []
        for entry, run in enumerate(plan.sample_runs):
            row = plan.run_rows[run]
            constraint = self._constraints.get(row)
            is_void = (plan.step_id, row) in self._void
            if constraint is not None and constraint.needs_mask and not is_void:
                entries.append(entry)
                sources.append(constraint)
        return self._filler.begin(entries, sources)

    def take_masks(self, plan: StepPlan, pending: PendingMasks) -> TokenMasks:
        """Wait for the masks of ``plan``."""
        masks, failed = pending.wait()
        for index, error in failed.items():
            self._fail(plan.run_rows[plan.sample_runs[masks.entries[index]]], error)
        return masks

    def judge(self, plan: StepPlan, result: StepResult) -> StepResult:
        """Add the verdicts on ``result``'s tokens to it."""
        is_followed = bool(self._open) and self._open[0].plan is plan
        if is_followed:
            self._open.popleft()
        if not (self._checkers or is_followed):
            return result
        for entry, run in enumerate(plan.sample_runs):
            row = plan.run_rows[run]
            if (plan.step_id, row) in self._void:
                self._void.discard((plan.step_id, row))
            elif entry not in result.invalid:
                self._judge_entry(row, entry, result)
        return result

    def take_failed(self) -> dict[str, str]:
        """The requests that have failed here since the last call, and why."""
        failed, self._failed = self._failed, {}
        return failed

    def close(self) -> None:
        """End the threads that fill masks."""
        if self._filler is not None:
            self._filler.close()

    def _judge_entry(self, row: int, entry: int, result: StepResult) -> None:
        tokens = sampled = [result.token_ids[entry]]
        if row in self._constraints:
            taken = self._take(row, sampled[0])
            tokens = taken.token_ids
            if taken.is_end:
                result.stops[entry] = StopMatch(None, is_cut=taken.is_cut)
        if row in self._checkers:
            for number, token in enumerate(tokens, start=1):
                match = self._push(row, token)
                if match is not None:
                    result.stops[entry] = match
                    tokens = tokens[:number]
                    break
        if tokens != sampled:
            result.accepted[entry] = tokens
            later = [step.plan.step_id for step in self._open if row in step.sampled_rows]
            self._void.update((step_id, row) for step_id in later)

    def _add(self, setup: RowSetup) -> None:
        row = setup.row
        self._request_ids[row] = setup.request_id
        checker = self._make_checker(setup.sampling)
        if checker is not None:
            self._checkers[row] = checker
            for token_id in setup.output_token_ids:
                self._push(row, token_id)
        try:
            constraint = self._make_constraint(setup)
            if constraint is not None:
                constraint.replay(setup.output_token_ids)
                self._constraints[row] = constraint
        except Exception as error:  # noqa: BLE001  a border: one request must not end the others
            self._fail(row, error)

    def _take(self, row: int, token_id: int) -> Taken:
        try:
            taken = self._constraints[row].take(token_id)
        except Exception as error:  # noqa: BLE001  likewise
            self._fail(row, error)
            return Taken([token_id])
        if taken.is_end:
            del self._constraints[row]
        return taken

    def _push(self, row: int, token_id: int) -> StopMatch | None:
        if row not in self._checkers:
            return None
        try:
            return self._checkers[row].push(token_id)
        except Exception as error:  # noqa: BLE001  likewise
            self._fail(row, error)
            return None

    def _fail(self, row: int, error: Exception) -> None:
        request_id = self._request_ids[row]
        self._checkers.pop(row, None)
        self._constraints.pop(row, None)
        if isinstance(error, GrammarTooComplexError):
            self._failed[request_id] = str(error)
            return
        logger.error(
            "output_check_failed", extra={"fields": {"request_id": request_id}}, exc_info=error
        )
        self._failed[request_id] = "the check of its output failed"
