"""What the tests of all Triton kernels share."""

from __future__ import annotations

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [torch.float32, torch.float16, torch.bfloat16]

TOLERANCES = {
    # One rounding of the result, or of the last operand, may fall the other way.
    torch.float32: {"rtol": 2e-5, "atol": 5e-6},
    torch.float16: {"rtol": 2e-3, "atol": 2e-3},
    torch.bfloat16: {"rtol": 1.6e-2, "atol": 1.6e-2},
}


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal up to the rounding of the type."""
    torch.testing.assert_close(actual, expected, **TOLERANCES[expected.dtype])
