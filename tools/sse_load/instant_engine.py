"""The engine's process over an executor that computes nothing: what is left is the server's cost.

Scheduler, cache, messages and stops are the real ones. Every sequence goes on with the last token
of its prompt, at once, or in steps of the milliseconds that the variable INSTANT_STEP_MS says.
``instant_server`` starts this instead of ``sglite.ipc.engine_process``.
"""

from __future__ import annotations

import os
import time
from typing import Any

from sglite import assembly
from sglite.ipc import engine_process
from sglite.scheduler.plan import StepPlan, StepResult

STEP_MS = "INSTANT_STEP_MS"
"""The environment is the only way into the engine's process that is not the product's own."""


class InstantExecutor:
    """An ``Executor`` that repeats the last token of each prompt.

    It takes the arguments of ``make_executor`` and needs none of them. Log-probabilities are not
    there: calls that ask for them fail. ``step_s`` is the least time from one step to the next.
    """

    def __init__(self, *arguments: Any, step_s: float | None = None, **options: Any) -> None:
        given_ms = os.environ.get(STEP_MS, "0")  # noqa: TID251 (no option of the product)
        self._step_s = float(given_ms) / 1000 if step_s is None else step_s
        self._next_step_s = 0.0
        self._last_tokens: dict[int, int] = {}

    def launch(self, plan: StepPlan) -> StepResult:
        """The whole step: the next token of each run that is sampled."""
        self._wait_for_turn()
        end = 0
        runs = zip(plan.run_rows, plan.run_lengths, plan.run_continues, strict=True)
        for row, length, continues in runs:
            if not continues:
                end += length
                self._last_tokens[row] = plan.token_ids[end - 1]
        result = StepResult([self._last_tokens[plan.run_rows[run]] for run in plan.sample_runs])
        result.prompt_logprobs = [[] for _ in plan.prompt_logprob_spans]
        return result

    def sample(self, handle: StepResult, masks: Any = None) -> None:
        """Done by ``launch``."""

    def collect(self, handle: StepResult) -> StepResult:
        """What ``launch`` found."""
        return handle

    def close(self) -> None:
        """Nothing to stop."""

    def _wait_for_turn(self) -> None:
        now_s = time.monotonic()
        if now_s < self._next_step_s:
            time.sleep(self._next_step_s - now_s)
        self._next_step_s = max(now_s, self._next_step_s) + self._step_s


def main() -> None:
    """Run the engine's process with this executor."""
    # build_engine looks the function up by this name; nothing in the product chooses an executor.
    assembly.make_executor = InstantExecutor  # type: ignore[assignment]
    engine_process.main()


if __name__ == "__main__":
    main()
