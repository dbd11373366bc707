"""FlashInfer gets arguments that mean the right attention; the double computes it."""

from __future__ import annotations

import sys

import pytest
import torch

from sglite.attention.flashinfer_backend import FlashInferBackend
from sglite.errors import ConfigError
from tests.attention.backend_harness import (
    Step,
    attend,
    cases_of,
    expected,
    make_buffers,
    random_case,
    run_step,
    shape_of,
    stage,
)
from tests.attention.library_doubles import FlashInfer
from tests.kernels.paged_attention.cases import Inputs, Runs, make_inputs

KINDS = ("decode", "prefill")
ALL = [(kind, case) for kind in KINDS for case in cases_of(kind)]
TOLERANCE = {"atol": 2e-5, "rtol": 2e-5}  # float32, another order of summation
CPU = torch.device("cpu")


@pytest.fixture
def library(monkeypatch):
    double = FlashInfer()
    monkeypatch.setitem(sys.modules, "flashinfer", double.module())
    return double


def make_backend(inputs: Inputs, kind: str, softcap: float | None = None) -> FlashInferBackend:
    shape = shape_of(inputs, window=inputs.metadata.window, softcap=softcap)
    return FlashInferBackend(kind, shape, CPU, workspace_bytes=16)


def decode_inputs(*lengths: int, window: int | None = None) -> Inputs:
    case = Runs("decode", [(1, length) for length in lengths], window=window)
    return make_inputs(case, gqa_ratio=2, dtype=torch.float32)


@pytest.mark.parametrize(("kind", "case"), ALL, ids=lambda value: getattr(value, "name", value))
def test_it_equals_the_reference(library, kind, case):
    inputs = make_inputs(case, gqa_ratio=2, dtype=torch.float32)
    actual = run_step(make_backend(inputs, kind), inputs, spare_runs=2)
    torch.testing.assert_close(actual, expected(inputs), **TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_random_runs_equal_the_reference(library, seed, kind):
    inputs = make_inputs(random_case(seed, kind), gqa_ratio=4, dtype=torch.float32)
    actual = run_step(make_backend(inputs, kind, softcap=0.7), inputs, softcap=0.7)
    torch.testing.assert_close(actual, expected(inputs, softcap=0.7), **TOLERANCE)


@pytest.mark.parametrize("gqa_ratio", [1, 2, 3, 4, 5, 8])
def test_tensor_cores_serve_the_groups_that_pay_or_that_need_them(library, gqa_ratio):
    case = Runs("decode", [(1, 9), (1, 4)])
    inputs = make_inputs(case, gqa_ratio=gqa_ratio, dtype=torch.float16)
    actual = run_step(make_backend(inputs, "decode"), inputs)

    # float16: rounded to 11 bits.
    torch.testing.assert_close(actual, expected(inputs), atol=4e-3, rtol=4e-3)
    assert [w.use_tensor_cores for w in library.wrappers] == [gqa_ratio >= 4]
    assert {w.backend for w in library.wrappers} == {"fa2"}


def test_a_step_is_planned_once_for_all_layers(library):
    inputs = decode_inputs(9, 4)
    backend = make_backend(inputs, "decode")
    for _ in range(3):
        run_step(backend, inputs)  # each attends twice
    assert [wrapper.num_plans for wrapper in library.wrappers] == [3]


@pytest.mark.parametrize("window", [None, 6])
def test_a_captured_decode_follows_what_is_planned_and_staged(library, window):
    """In the order of an executor, eager steps in between; page tables change after the plan."""
    backend = make_backend(decode_inputs(9, window=window), "decode")
    assert backend.can_capture
    buffers = make_buffers(backend, 3)
    table_WP = torch.zeros(5, 12, dtype=torch.int32)
    bound = backend.bind(buffers, table_WP)
    eager = decode_inputs(5, 6, 7, window=window)

    for lengths in ((9, 3, 30), (21, 22, 1), (2, 40, 3)):
        inputs = decode_inputs(*lengths, window=window)
        step = Step.of(inputs, num_pages=12, is_replayed=True)
        stage(backend.plan(step.runs), buffers)
        table_WP.copy_(step.page_table_WP)
        bound.prepare()
        torch.testing.assert_close(attend(bound, inputs), expected(inputs), **TOLERANCE)
        torch.testing.assert_close(run_step(backend, eager), expected(eager), **TOLERANCE)
        torch.testing.assert_close(attend(bound, inputs), expected(inputs), **TOLERANCE)
    assert [w.fixed is not None for w in library.wrappers] == [False, True]


def test_a_captured_decode_can_be_tried_before_anything_is_planned(library):
    """As a warm-up does: of padding alone, sequences of one key."""
    inputs = decode_inputs(1, 1)
    backend = make_backend(inputs, "decode")
    step = Step.of(inputs)
    buffers = make_buffers(backend, 2)
    bound = backend.bind(buffers, step.page_table_WP)
    stage(backend.plan(step.runs), buffers)
    bound.prepare()
    torch.testing.assert_close(attend(bound, inputs), expected(inputs), **TOLERANCE)


def test_eager_steps_in_flight_keep_their_own_plans(library):
    backend = make_backend(decode_inputs(9), "decode")
    bounds = []
    for inputs in (decode_inputs(9, 3), decode_inputs(21)):
        step = Step.of(inputs)
        buffers = make_buffers(backend, len(step.runs.rows_R))
        stage(backend.plan(step.runs), buffers)
        bounds.append((inputs, backend.bind(buffers, step.page_table_WP)))
    for inputs, bound in bounds:
        bound.prepare()
        torch.testing.assert_close(attend(bound, inputs), expected(inputs), **TOLERANCE)


def test_each_captured_size_has_a_wrapper_of_its_own(library):
    backend = make_backend(decode_inputs(9), "decode")
    bounds = {}
    for size in (3, 1):
        buffers = make_buffers(backend, size)
        table_WP = torch.zeros(5, 12, dtype=torch.int32)
        bounds[size] = (backend.bind(buffers, table_WP), buffers, table_WP)

    for lengths in ((9, 3, 4), (4,), (7, 8, 9)):
        inputs = decode_inputs(*lengths)
        bound, buffers, table_WP = bounds[len(lengths)]
        step = Step.of(inputs, num_pages=12, is_replayed=True)
        stage(backend.plan(step.runs), buffers)
        table_WP[: len(step.page_table_WP)] = step.page_table_WP
        bound.prepare()
        torch.testing.assert_close(attend(bound, inputs), expected(inputs), **TOLERANCE)
    assert [len(w.fixed[2]) for w in library.wrappers if w.fixed] == [3, 1]


def test_chunks_cannot_be_captured(library):
    inputs = make_inputs(Runs("chunk", [(4, 9)]), gqa_ratio=2, dtype=torch.float32)
    assert not make_backend(inputs, "prefill").can_capture


def test_layers_that_differ_from_the_plan_are_noticed(library):
    inputs = decode_inputs(9)
    backend = make_backend(inputs, "decode")
    with pytest.raises(AssertionError, match="planned for scale and softcap"):
        run_step(backend, inputs, softcap=3.0)
    assert run_step(backend, inputs).isfinite().all()


def test_a_missing_library_is_named_with_a_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "flashinfer", None)
    with pytest.raises(ConfigError, match=r"FlashInfer.*flashinfer-python.*triton"):
        make_backend(decode_inputs(9), "decode")
