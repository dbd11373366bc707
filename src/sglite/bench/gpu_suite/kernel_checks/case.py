"""What a case is, where it runs, and how near is near enough."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

TOLERANCES = {
    # Relative and absolute: one rounding of the result, or of its last operand, may differ.
    torch.float32: (1e-4, 1e-5),
    torch.float16: (4e-3, 4e-3),
    torch.bfloat16: (3e-2, 3e-2),
}


class Pair(NamedTuple):
    """What a kernel gave and what it should have; integers have to be equal."""

    actual: torch.Tensor
    expected: torch.Tensor

    @property
    def error(self) -> float:
        """The largest difference, as a share of what is tolerated: up to 1 is well."""
        actual, expected = self.actual.cpu(), self.expected.cpu()
        if actual.shape != expected.shape or actual.dtype != expected.dtype:
            return float("inf")
        if not expected.is_floating_point():
            return 0.0 if torch.equal(actual, expected) else float("inf")
        relative, absolute = TOLERANCES[expected.dtype]
        wide, other = expected.double(), actual.double()
        share = (other - wide).abs() / (absolute + relative * wide.abs())
        # The same infinity, or no number in both, is no difference; anything else with one is.
        share[(other == wide) | (other.isnan() & wide.isnan())] = 0.0
        return float(share.nan_to_num(nan=torch.inf, posinf=torch.inf).max()) if len(share) else 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case runs, in which type, and whether by Triton."""

    device: torch.device
    dtype: torch.dtype
    uses_triton: bool

    def randn(self, *shape: int) -> torch.Tensor:
        """Normal numbers of the type."""
        return torch.randn(shape, device=self.device).to(self.dtype)

    def implementation(self, kernel: str, module: str = "") -> Any:
        """The module of a kernel that is to be compared with its ``reference``; ``module`` is its
        name where that of the kernel does not tell it."""
        name = (module or f"triton_{kernel}") if self.uses_triton else "reference"
        return importlib.import_module(f"sglite.kernels.{kernel}.{name}")


@dataclass(frozen=True, slots=True)
class Case:
    """One call of a kernel. ``is_large``: too much for the interpreter of Triton or a CPU."""

    kernel: str
    name: str
    run: Callable[[Place], list[Pair]]
    is_large: bool = False
