from __future__ import annotations

import pytest
import torch

from sglite.bench.gpu_suite.kernel_checks import draw_cases
from sglite.kernels.draw import reference
from tests.bench.gpu_suite.places import REFERENCE, interpreted, worst


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_kernel_passes_its_cases(dtype):
    assert worst(draw_cases.cases(), interpreted(dtype)) <= 1


def test_a_kernel_that_takes_another_token_fails(monkeypatch):
    right, calls = reference.draw, []

    def wrong(logits, draws):
        calls.append(draws)
        tokens = right(logits, draws)
        return tokens if len(calls) % 2 else (tokens + 1) % logits.shape[1]

    monkeypatch.setattr(reference, "draw", wrong)
    assert worst(draw_cases.cases(), REFERENCE) > 1
