"""FlashAttention 3 gets arguments that mean the right attention; the double computes it."""

from __future__ import annotations

import sys

import pytest
import torch

from sglite.attention.fa3_backend import MODULES, FA3Backend
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
from tests.attention.library_doubles import FlashAttention3
from tests.kernels.paged_attention.cases import Inputs, Runs, make_inputs

KINDS = ("decode", "prefill")
ALL = [(kind, case) for kind in KINDS for case in cases_of(kind)]
TOLERANCE = {"atol": 2e-5, "rtol": 2e-5}  # float32, another order of summation


@pytest.fixture
def library(monkeypatch):
    double = FlashAttention3()
    monkeypatch.setitem(sys.modules, MODULES[0], double.module(MODULES[0]))
    return double


def make_backend(inputs: Inputs, kind: str, **options: object) -> FA3Backend:
    return FA3Backend(kind, shape_of(inputs, window=inputs.metadata.window), **options)


@pytest.mark.parametrize(("kind", "case"), ALL, ids=lambda value: getattr(value, "name", value))
def test_it_equals_the_reference(library, kind, case):
    inputs = make_inputs(case, gqa_ratio=2, dtype=torch.float32)
    actual = run_step(make_backend(inputs, kind), inputs)
    torch.testing.assert_close(actual, expected(inputs), **TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_random_runs_equal_the_reference(library, seed, kind):
    inputs = make_inputs(random_case(seed, kind), gqa_ratio=4, dtype=torch.float32)
    actual = run_step(make_backend(inputs, kind), inputs, softcap=0.7)
    torch.testing.assert_close(actual, expected(inputs, softcap=0.7), **TOLERANCE)


def test_chunks_leave_the_room_of_others_alone(library):
    inputs = make_inputs(Runs("chunks", [(5, 9), (2, 30)]), gqa_ratio=2, dtype=torch.float32)
    actual = run_step(make_backend(inputs, "prefill"), inputs, spare_runs=3)
    torch.testing.assert_close(actual, expected(inputs), **TOLERANCE)
    assert library.calls[0]["page_table"].shape == (2, 8), "as wide as the longest needs"


@pytest.mark.parametrize("window", [None, 6])
def test_a_bound_decode_follows_what_is_staged(library, window):
    first, second = (
        make_inputs(Runs("decode", runs, window=window), gqa_ratio=2, dtype=torch.float32)
        for runs in ([(1, 9), (1, 3), (1, 30)], [(1, 21), (1, 22), (1, 1)])
    )
    backend = make_backend(first, "decode")
    assert backend.can_capture
    buffers = make_buffers(backend, 3)
    table_WP = torch.zeros(5, 12, dtype=torch.int32)
    bound = backend.bind(buffers, table_WP)

    for inputs in (first, second):
        step = Step.of(inputs, num_pages=12)
        stage(backend.plan(step.runs), buffers)
        table_WP.copy_(step.page_table_WP)
        bound.prepare()
        torch.testing.assert_close(attend(bound, inputs), expected(inputs), **TOLERANCE)


def test_padding_of_a_captured_step_has_no_keys(library):
    inputs = make_inputs(Runs("decode", [(1, 9), (1, 3)]), gqa_ratio=2, dtype=torch.float32)
    backend = make_backend(inputs, "decode")
    step = Step.of(inputs)
    buffers = make_buffers(backend, 4)
    stage(backend.plan(step.runs), buffers)
    bound = backend.bind(buffers, step.page_table_WP)
    bound.prepare()
    q_TND = torch.cat([inputs.q_TND, torch.ones_like(inputs.q_TND)])
    out_TND = torch.full_like(q_TND, torch.nan)

    bound.attend(q_TND, inputs.kv_layer, out_TND, scale=0.3, softcap=None)

    torch.testing.assert_close(out_TND[:2], expected(inputs), **TOLERANCE)
    assert not out_TND[2:].any()


@pytest.mark.parametrize(("deterministic", "num_splits"), [(False, 0), (True, 1)])
def test_deterministic_rows_are_not_split(library, deterministic, num_splits):
    inputs = make_inputs(Runs("decode", [(1, 9)]), gqa_ratio=2, dtype=torch.float32)
    run_step(make_backend(inputs, "decode", deterministic=deterministic), inputs)
    assert {call["num_splits"] for call in library.calls} == {num_splits}


def test_the_package_of_sglang_serves_as_well(monkeypatch):
    double = FlashAttention3()
    monkeypatch.setitem(sys.modules, MODULES[0], None)
    monkeypatch.setitem(sys.modules, "sgl_kernel", double.module("sgl_kernel"))
    monkeypatch.setitem(sys.modules, MODULES[1], double.module(MODULES[1]))
    inputs = make_inputs(Runs("decode", [(1, 9)]), gqa_ratio=2, dtype=torch.float32)

    run_step(make_backend(inputs, "decode"), inputs)

    assert double.calls


def test_a_missing_library_is_named_with_a_way_out(monkeypatch):
    for name in (*MODULES, "sgl_kernel"):
        monkeypatch.setitem(sys.modules, name, None)
    inputs = make_inputs(Runs("decode", [(1, 9)]), gqa_ratio=2, dtype=torch.float32)
    with pytest.raises(ConfigError, match=r"flash_attn_interface.*flash-attn-3.*triton"):
        make_backend(inputs, "decode")
