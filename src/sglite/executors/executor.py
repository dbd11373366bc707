"""What carries out a plan. The scheduler decides; an executor only does."""

from __future__ import annotations

from typing import Any, Protocol

from sglite.sampling.masks import TokenMasks
from sglite.scheduler.plan import StepPlan, StepResult


class Executor(Protocol):
    """Carries out plans in the order they come. Handles are opaque to the caller."""

    def launch(self, plan: StepPlan) -> Any:
        """Apply the plan's changes of rows and pages, start the forward pass; returns a handle."""

    def sample(self, handle: Any, masks: TokenMasks | None = None) -> None:
        """Sample the plan's ``sample_runs``, those that ``masks`` names from legal tokens alone."""

    def collect(self, handle: Any) -> StepResult:
        """Wait for the step and return what it produced."""

    def close(self) -> None:
        """Give up threads and memory."""
