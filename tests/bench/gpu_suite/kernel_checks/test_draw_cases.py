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

    def wrong(logits, *arguments, token_ids_R, **named):
        right(logits, *arguments, token_ids_R=token_ids_R, **named)
        calls.append(token_ids_R)
        if len(calls) % 2 == 0:  # the first of two calls stands for the specification
            token_ids_R += 1
            token_ids_R %= logits.shape[1]

    monkeypatch.setattr(reference, "draw", wrong)
    assert worst(draw_cases.cases()[:-1], REFERENCE) > 1
