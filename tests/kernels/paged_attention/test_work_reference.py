from __future__ import annotations

import pytest
import torch

from sglite.kernels.paged_attention import reference, work_reference
from sglite.kernels.paged_attention.work_list import Scores, Tiling
from tests.kernels.paged_attention.cases import CASES, Runs, make_inputs
from tests.kernels.paged_attention.works import make_work, on_device
from tests.kernels.triton_harness import assert_close

SMALL = [case for case in CASES if max(length for _, length in case.runs) < 150]
TILING = Tiling(3, 4)
DECODES = Runs("decodes", [(1, 700), (1, 3), (1, 130), (1, 64)], page_size=16)
CHUNK = Runs("chunk", [(5, 301), (1, 9), (20, 20)], page_size=16, window=150)


def run(case, *, is_decode, gqa_ratio=2, softcap=None, dtype=torch.float32, kv_dtype=None,
        tiling=TILING):  # fmt: skip
    inputs = make_inputs(case, gqa_ratio=gqa_ratio, dtype=dtype, kv_dtype=kv_dtype)
    expected = reference.paged_attention(
        inputs.q_TND, inputs.kv_layer, inputs.metadata, scale=0.3, softcap=softcap
    )
    work = make_work(inputs, tiling, is_decode=is_decode)
    actual = torch.full_like(inputs.q_TND, torch.nan)
    work_reference.attend(
        inputs.q_TND,
        inputs.kv_layer,
        inputs.metadata.page_table_RP,
        on_device(work, inputs, tiling, is_decode=is_decode),
        actual,
        page_size=case.page_size,
        scores=Scores(0.3, softcap),
    )
    return actual, expected, work


@pytest.mark.parametrize("gqa_ratio", [1, 3])
@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_chunks_are_the_reference_s(case, gqa_ratio):
    actual, expected, _ = run(case, is_decode=False, gqa_ratio=gqa_ratio)
    assert_close(actual, expected)


@pytest.mark.parametrize("softcap", [None, 0.7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_divided_decodes_are_the_reference_s(dtype, softcap):
    actual, expected, work = run(DECODES, is_decode=True, dtype=dtype, softcap=softcap)
    assert len(work.merges_M2)
    assert_close(actual, expected)


def test_divided_chunks_with_a_window_are_the_reference_s():
    actual, expected, work = run(CHUNK, is_decode=False, tiling=Tiling(8, 6))
    assert len(work.merges_M2)
    assert_close(actual, expected)


def test_keys_of_eight_bits_are_read_with_their_scales():
    actual, expected, _ = run(DECODES, is_decode=True, kv_dtype=torch.int8)
    assert_close(actual, expected)
