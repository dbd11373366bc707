from __future__ import annotations

import pytest
import torch

from sglite.bench.gpu_suite.kernel_checks import rotary_cases
from sglite.kernels.rotary_store import reference
from tests.bench.gpu_suite.places import REFERENCE, interpreted, worst


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_kernel_passes_its_cases(dtype):
    assert worst(rotary_cases.cases(), interpreted(dtype)) <= 1


def test_a_kernel_that_writes_elsewhere_fails(monkeypatch):
    right, calls = reference.rotary_store, []

    def wrong(qkv, heads, rotation, layer, slots, **named):
        calls.append(slots)
        if len(calls) % 2:
            layer.v_SKD[-1] = 7  # the first of two calls stands for the specification
        return right(qkv, heads, rotation, layer, slots, **named)

    monkeypatch.setattr(reference, "rotary_store", wrong)
    assert worst(rotary_cases.cases(), REFERENCE) > 1
