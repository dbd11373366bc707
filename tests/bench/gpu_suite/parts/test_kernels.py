from __future__ import annotations

import pytest
import torch

from sglite.bench.gpu_suite.kernel_checks import Case, Pair
from sglite.bench.gpu_suite.parts import kernels

ONE = torch.ones(1)


def broken(place):
    raise ValueError("shared memory is out of range")


CASES = [
    Case("norm", "right", lambda place: [Pair(ONE, ONE)]),
    Case("norm", "wrong", lambda place: [Pair(ONE, ONE), Pair(ONE, 2 * ONE)]),
    Case("norm", "broken", broken),
    Case("norm", "large", lambda place: [Pair(ONE, ONE)], is_large=True),
]


@pytest.fixture
def suite(make_suite, monkeypatch):
    monkeypatch.setattr(kernels, "all_cases", lambda: CASES)
    monkeypatch.setattr(kernels.triton_support, "is_interpreted", lambda: False)
    return make_suite("kernels")


def test_what_fails_does_not_keep_the_others_from_running(suite):
    kernels.run(suite)
    checks = {check.name: check for check in suite.recorder.result.checks}
    assert len(checks) == 9  # three small cases in three types
    assert [name.rpartition(", ")[2] for name in checks][:4] == ["bfloat16"] * 3 + ["float32"]
    assert checks["norm, right, bfloat16"].passed
    assert not checks["norm, wrong, float32"].passed
    assert "shared memory" in checks["norm, broken, float16"].detail


def test_cases_without_time_are_named(suite):
    suite.ends_at_s = 0.0
    kernels.run(suite)
    result = suite.recorder.result
    assert result.checks == [] and result.details["left out"][0] == "norm, right, bfloat16"


def test_interpreter_is_not_asked_for_bfloat16(suite, monkeypatch):
    monkeypatch.setattr(kernels.triton_support, "is_interpreted", lambda: True)
    dtypes = [place.dtype for place in kernels._places(suite)]
    assert dtypes == [torch.float32, torch.float16]
    assert all(place.uses_triton for place in kernels._places(suite))
