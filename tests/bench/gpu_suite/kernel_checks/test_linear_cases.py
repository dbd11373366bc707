from __future__ import annotations

import pytest
import torch

from sglite.bench.gpu_suite.kernel_checks import linear_cases
from tests.bench.gpu_suite.places import REFERENCE, interpreted, worst


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_kernels_pass_their_cases(dtype):
    assert worst(linear_cases.cases(), interpreted(dtype)) <= 1


def test_a_kernel_that_is_wrong_fails(monkeypatch):
    right, calls = linear_cases.reference.linear, []

    def wrong(x, weight, bias=None):
        calls.append(x.dtype)
        return right(x, weight, bias) * (1 + (x.dtype == torch.float32))

    monkeypatch.setattr(linear_cases.reference, "linear", wrong)
    assert worst(linear_cases.cases(), REFERENCE) > 1
    assert torch.float64 in calls
