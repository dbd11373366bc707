from __future__ import annotations

import pytest

from sglite.bench.gpu_suite.kernel_checks import attention_cases
from tests.bench.gpu_suite.attention_double import WholePages
from tests.bench.gpu_suite.places import REFERENCE


@pytest.fixture
def backend(monkeypatch):
    """The double is the only backend; its fault is set by the test."""
    double = WholePages

    def all_backends(device, sizes, kind):
        return {"double": lambda: double(sizes)}

    monkeypatch.setattr(attention_cases, "all_backends", all_backends)
    monkeypatch.setattr(double, "keys_too_many", 0)
    return double


def small() -> list:
    return [case for case in attention_cases.cases() if not case.is_large]


@pytest.mark.parametrize("case", small(), ids=lambda case: case.name)
def test_a_right_backend_passes(case, backend):
    assert [pair.error <= 1 for pair in case.run(REFERENCE)] == [True]


def test_a_backend_that_reads_one_key_too_many_fails(backend, monkeypatch):
    monkeypatch.setattr(backend, "keys_too_many", 1)
    case = next(case for case in small() if case.name == "decode, one token alone")
    assert case.run(REFERENCE)[0].error > 1


def test_backends_of_this_machine_pass_the_smallest_case():
    pairs = small()[0].run(REFERENCE)
    assert pairs and all(pair.error <= 1 for pair in pairs)
