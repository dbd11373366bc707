import types

import pytest
import torch

from sglite.hardware import GpuFacts, detect_hardware


@pytest.fixture
def gpus(monkeypatch):
    """A torch for CUDA that sees so many GPUs."""

    def install(count):
        monkeypatch.setattr(torch.version, "cuda", "12.8")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(
            torch.cuda,
            "get_device_properties",
            lambda number: types.SimpleNamespace(
                name=f"GPU {number}", total_memory=8 << 30, major=9, minor=number
            ),
        )

    return install


def test_gpus_are_found_by_their_numbers(gpus):
    gpus(2)
    found = detect_hardware().cuda
    assert found == tuple(GpuFacts(f"GPU {each}", 8 << 30, (9, each)) for each in (0, 1))


def test_builds_for_amd_s_gpus_count(gpus, monkeypatch):
    gpus(1)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", "7.0")
    assert len(detect_hardware().cuda) == 1


def test_why_there_are_none_is_told(gpus, monkeypatch):
    gpus(0)
    assert detect_hardware().why_no_cuda == "torch sees no CUDA device"
    monkeypatch.setattr(torch.version, "cuda", None)
    facts = detect_hardware()
    assert (
        facts.cuda == () and facts.why_no_cuda == f"torch {torch.__version__} is built without CUDA"
    )


def test_mps_is_what_torch_says(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert detect_hardware().has_mps


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), False), ((8, 0), True), ((12, 0), True)]
)
def test_auto_takes_gpus_from_ampere_on(capability, expected):
    assert GpuFacts("g", 1, capability).is_new_enough is expected
