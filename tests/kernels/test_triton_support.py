from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from sglite.kernels import triton_support
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


def test_a_kernel_starts_early_on_a_hopper_gpu_alone(monkeypatch):
    device = torch.device("cuda", 0)
    capability = {"value": (8, 9)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability["value"])
    can_start_early = triton_support._can_start_early.__wrapped__
    assert not can_start_early(torch.device("cpu")) and not can_start_early(device)
    capability["value"] = (9, 0)
    assert can_start_early(device) and not can_start_early(torch.device("cpu"))
    monkeypatch.setattr(torch.version, "hip", "7.0")
    assert not can_start_early(device)
    assert triton_support.dependent_launch(torch.zeros(1)) == {"IS_DEPENDENT": False}


def test_a_compiler_sees_references(monkeypatch):
    on_a_gpu = SimpleNamespace(is_cuda=True)
    monkeypatch.setattr(triton_support, "is_installed", lambda: True)
    assert runs_on(on_a_gpu)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not runs_on(on_a_gpu)


@pytest.mark.parametrize(("num_bytes", "is_little"), [(99 << 10, True), (227 << 10, False)])
def test_small_gpus_have_fewer_stages(num_bytes, is_little, monkeypatch):
    properties = SimpleNamespace(shared_memory_per_block_optin=num_bytes)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    has_little = triton_support.has_little_shared_memory.__wrapped__
    assert has_little(torch.device("cuda", 0)) == is_little
    assert not has_little(torch.device("cpu"))
