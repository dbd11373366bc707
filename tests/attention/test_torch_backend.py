"""The torch backend against the specification, carried through a step as executors do."""

from __future__ import annotations

import pytest
import torch

from sglite.attention.torch_backend import TorchBackend
from tests.attention.backend_harness import (
    Step,
    attend,
    cases_of,
    expected,
    make_buffers,
    random_case,
    run_step,
    stage,
)
from tests.kernels.paged_attention.cases import Inputs, Runs, make_inputs

KINDS = ("decode", "prefill")
ALL = [(kind, case) for kind in KINDS for case in cases_of(kind)]
TOLERANCE = {"atol": 2e-5, "rtol": 2e-5}  # float32, another order of summation


def make_backend(inputs: Inputs) -> TorchBackend:
    metadata = inputs.metadata
    return TorchBackend(page_size=metadata.page_size, window=metadata.window)


@pytest.mark.parametrize(("kind", "case"), ALL, ids=lambda value: getattr(value, "name", value))
def test_it_equals_the_reference(kind, case):
    inputs = make_inputs(case, gqa_ratio=2, dtype=torch.float32)
    actual = run_step(make_backend(inputs), inputs, spare_runs=2)
    torch.testing.assert_close(actual, expected(inputs), **TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_random_runs_equal_the_reference(seed, kind):
    inputs = make_inputs(random_case(seed, kind), gqa_ratio=4, dtype=torch.float32)
    actual = run_step(make_backend(inputs), inputs, softcap=0.7)
    torch.testing.assert_close(actual, expected(inputs, softcap=0.7), **TOLERANCE)


def test_steps_in_flight_keep_their_own_lengths():
    first, second = (
        make_inputs(Runs("decode", runs), gqa_ratio=1, dtype=torch.float32)
        for runs in ([(1, 9), (1, 3)], [(1, 21)])
    )
    backend = make_backend(first)
    bounds = []
    for inputs in (first, second):
        step = Step.of(inputs)
        buffers = make_buffers(backend, len(step.runs.rows_R))
        stage(backend.plan(step.runs), buffers)
        bounds.append(backend.bind(buffers, step.page_table_WP))

    for bound, inputs in zip(bounds, (first, second), strict=True):
        bound.prepare()
        torch.testing.assert_close(attend(bound, inputs), expected(inputs), **TOLERANCE)


def test_it_cannot_be_captured():
    assert not TorchBackend(page_size=4).can_capture
