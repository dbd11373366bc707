from __future__ import annotations

import pytest
import torch

from sglite.kernels.triton_support import is_interpreted, next_power_of_2, runs_on


@pytest.mark.parametrize(("number", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (64, 64), (65, 128)])
def test_the_next_power_is_not_below_the_number(number, power):
    assert next_power_of_2(number) == power


def test_whether_triton_is_interpreted_is_its_own_word(monkeypatch):
    triton = pytest.importorskip("triton")
    for word in (True, False):
        monkeypatch.setattr(triton.knobs.runtime, "interpret", word)
        assert is_interpreted() == word


def test_no_kernel_of_a_gpu_runs_on_tensors_of_the_host():
    assert not runs_on(torch.zeros(1))
