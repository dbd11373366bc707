"""What carries out a plan. The scheduler decides; an executor only does."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from sglite.scheduler.plan import StepPlan, StepResult


class Executor(Protocol):
    """Carries out plans in the order they come. Handles are opaque to the caller."""

    def launch(self, plan: StepPlan) -> Any:
        """Apply the plan's changes of rows and pages, start the forward pass; returns a handle."""

    def sample(self, handle: Any, masks_RV: torch.Tensor | None = None) -> None:
        """Sample the plan's ``sample_runs``; bool masks are True for legal tokens."""

    def collect(self, handle: Any) -> StepResult:
        """Wait for the step and return what it produced."""

    def close(self) -> None:
        """Give up threads and memory."""
