from __future__ import annotations

import pytest
import torch

from sglite.bench.gpu_suite.kernel_checks import read_cases
from sglite.kernels.read_sums import reference
from tests.bench.gpu_suite.places import REFERENCE, interpreted, worst


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_kernel_passes_its_cases(dtype):
    assert worst(read_cases.cases(), interpreted(dtype)) <= 1


def test_a_kernel_that_is_wrong_fails(monkeypatch):
    right, calls = reference.read_sums, []

    def wrong(x, sums):
        calls.append(sums)
        right(x[: len(x) - len(calls) % 2], sums)

    monkeypatch.setattr(reference, "read_sums", wrong)
    assert worst(read_cases.cases(), REFERENCE) > 1
