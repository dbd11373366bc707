from __future__ import annotations

import pytest
import torch

from sglite.bench.gpu_suite.kernel_checks import gated_cases
from sglite.kernels.gated import reference
from tests.bench.gpu_suite.places import REFERENCE, interpreted, worst


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_kernel_passes_its_cases(dtype):
    assert worst(gated_cases.cases(), interpreted(dtype)) <= 1


def test_a_kernel_that_is_wrong_fails(monkeypatch):
    right, calls = reference.gated, []

    def wrong(*arguments):
        calls.append(arguments)
        return right(*arguments) * (1 + len(calls) % 2)  # every second call stands for the kernel

    monkeypatch.setattr(reference, "gated", wrong)
    assert worst(gated_cases.cases(), REFERENCE) > 1
