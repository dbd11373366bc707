"""Places in which the cases of kernels run here, and what they find."""

from __future__ import annotations

import pytest
import torch

from sglite.bench.gpu_suite.kernel_checks import Case, Place

REFERENCE = Place(torch.device("cpu"), torch.float32, uses_triton=False)


def interpreted(dtype: torch.dtype = torch.float32) -> Place:
    """Triton's interpreter; the test is skipped where it is not to be had."""
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        pytest.skip("Triton compiles here")
    return Place(torch.device("cpu"), dtype, uses_triton=True)


def worst(cases: list[Case], place: Place) -> float:
    """The largest error of the cases that are small enough."""
    return max(pair.error for case in cases if not case.is_large for pair in case.run(place))
