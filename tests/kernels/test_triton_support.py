from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from sglite.kernels import triton_support
from sglite.kernels.triton_support import next_power_of_2, runs_on


@pytest.mark.parametrize(("number", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (64, 64), (65, 128)])
def test_the_next_power_is_not_below_the_number(number, power):
    assert next_power_of_2(number) == power


def test_no_kernel_of_a_gpu_runs_on_tensors_of_the_host():
    assert not runs_on(torch.zeros(1))


def test_a_compiler_sees_references(monkeypatch):
    on_a_gpu = SimpleNamespace(is_cuda=True)
    monkeypatch.setattr(triton_support, "is_installed", lambda: True)
    assert runs_on(on_a_gpu)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not runs_on(on_a_gpu)
