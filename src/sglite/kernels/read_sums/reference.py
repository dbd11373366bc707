"""The sum in torch: the specification."""

from __future__ import annotations

import torch


def read_sums(x: torch.Tensor, sums: torch.Tensor) -> None:
    """See the package; all of it is in the first of the sums."""
    sums.zero_()
    sums[0] = x.sum(dtype=torch.float32)
