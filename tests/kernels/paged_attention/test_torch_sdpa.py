"""The torch implementation against the reference, on nasty shapes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sglite.kernels.paged_attention import IMPLEMENTATIONS, paged_attention, reference, torch_sdpa
from tests.kernels.paged_attention.cases import CASES, Runs, make_inputs

# float32: a different order of summation over at most 1,200 keys. bfloat16 and float16: the
# result is rounded to 8 and 11 bits, and so are the softmax weights before they meet V.
TOLERANCES = {torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
MIXED = next(case for case in CASES if case.name == "prefill-and-decode-mixed")


def assert_equals_reference(
    case: Runs,
    *,
    gqa_ratio: int,
    dtype: torch.dtype,
    head_dim: int = 16,
    kv_dtype: torch.dtype | None = None,
    softcap: float | None = None,
) -> None:
    inputs = make_inputs(
        case, gqa_ratio=gqa_ratio, dtype=dtype, head_dim=head_dim, kv_dtype=kv_dtype
    )
    arguments = (inputs.q_TND, inputs.kv_layer, inputs.metadata)
    scores = {"scale": head_dim**-0.5, "softcap": softcap}

    actual = paged_attention(*arguments, **scores)
    expected = paged_attention(*arguments, **scores, implementation="reference")

    assert actual.dtype == dtype
    assert not expected.isnan().any(), "the case reads a poisoned slot"
    tolerance = TOLERANCES[dtype]
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_equals_the_reference_and_reads_no_poisoned_slot(case, dtype):
    assert_equals_reference(case, gqa_ratio=2, dtype=dtype)


@pytest.mark.parametrize("kv_dtype", [torch.int8, torch.float8_e4m3fn], ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bytes_become_numbers_again(case, kv_dtype):
    assert_equals_reference(case, gqa_ratio=2, dtype=torch.float32, kv_dtype=kv_dtype)


@pytest.mark.parametrize("kv_dtype", [torch.float32, torch.bfloat16, torch.int8], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_pool_may_have_another_type_than_the_queries(dtype, kv_dtype):
    assert_equals_reference(MIXED, gqa_ratio=2, dtype=dtype, kv_dtype=kv_dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_scores_are_softly_capped(case):
    assert_equals_reference(case, gqa_ratio=2, dtype=torch.float32, softcap=0.4)


@pytest.mark.parametrize("gqa_ratio", [1, 2, 4, 8])
@pytest.mark.parametrize("window", [None, 6])
def test_query_heads_read_the_kv_head_of_their_group(gqa_ratio, window):
    assert_equals_reference(
        replace(MIXED, window=window), gqa_ratio=gqa_ratio, dtype=torch.float32, head_dim=64
    )


def test_float16_equals_the_reference():
    assert_equals_reference(MIXED, gqa_ratio=4, dtype=torch.float16)


def test_the_plan_is_made_once_for_all_layers_of_a_group():
    inputs = make_inputs(MIXED, gqa_ratio=2, dtype=torch.float32)
    torch_sdpa.paged_attention(inputs.q_TND, inputs.kv_layer, inputs.metadata, scale=1.0)
    plan = inputs.metadata.kernel_plan
    torch_sdpa.paged_attention(inputs.q_TND, inputs.kv_layer, inputs.metadata, scale=1.0)

    assert isinstance(plan, torch_sdpa.Plan)
    assert inputs.metadata.kernel_plan is plan


def test_decode_rows_are_padded_to_at_most_twice_their_length():
    case = Runs("decode", [(1, length) for length in (1, 40, 64, 65, 128, 129, 500)])
    plan = torch_sdpa.make_plan(make_inputs(case, gqa_ratio=1, dtype=torch.float32).metadata)

    widths = {row: d.slots_RS.shape[1] for d in plan.decodes for row in d.tokens.tolist()}
    assert [widths[row] for row in range(7)] == [64, 64, 64, 128, 128, 129, 500]


def test_both_implementations_can_be_chosen():
    assert IMPLEMENTATIONS["reference"] is reference.paged_attention
    assert IMPLEMENTATIONS["torch"] is torch_sdpa.paged_attention
