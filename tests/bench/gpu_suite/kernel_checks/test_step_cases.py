from __future__ import annotations

import pytest
import torch

from sglite.bench.gpu_suite.kernel_checks import step_cases
from tests.bench.gpu_suite.places import REFERENCE, interpreted, worst


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_kernels_pass_their_cases(dtype):
    assert worst(step_cases.cases(), interpreted(dtype)) <= 1


@pytest.mark.parametrize("kernel", ["step_inputs", "page_table", "page_copy"])
def test_a_kernel_that_does_nothing_fails(kernel, monkeypatch):
    module = REFERENCE.implementation(kernel)
    names = {"page_table": "update_page_table", "page_copy": "copy_pages"}
    name = names.get(kernel, kernel)
    right, calls = getattr(module, name), []

    def lazy(*arguments, **named):
        calls.append(arguments)
        if len(calls) % 2 == 0:  # every second call stands for the specification
            right(*arguments, **named)

    monkeypatch.setattr(module, name, lazy)
    cases = [case for case in step_cases.cases() if case.kernel == kernel]
    assert worst(cases, REFERENCE) > 1
