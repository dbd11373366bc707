from __future__ import annotations

import numpy as np
import pytest
import torch

from sglite.kernels.paged_attention import reference
from sglite.kernels.paged_attention.work_list import Tiling, make_work_list
from tests.kernels.paged_attention.cases import CASES, Runs, make_inputs
from tests.kernels.triton_harness import DEVICE, DTYPES, assert_close

triton_attention = pytest.importorskip("sglite.kernels.paged_attention.triton_attention")

SMALL = [case for case in CASES if max(length for _, length in case.runs) < 100]
LONG = Runs("a-long-and-a-short", [(1, 900), (1, 3), (5, 301)], page_size=16)


def run(case: Runs, tiling: Tiling, *, gqa_ratio: int = 2, softcap=None, **options):
    """The kernel's result and the reference's."""
    inputs = make_inputs(case, gqa_ratio=gqa_ratio, **options)
    metadata = inputs.metadata
    expected = reference.paged_attention(
        inputs.q_TND, inputs.kv_layer, metadata, scale=0.3, softcap=softcap
    )
    work = make_work_list(
        np.asarray(metadata.run_offsets, dtype=np.int32),
        np.asarray(metadata.seq_lens, dtype=np.int32),
        tiling,
        window=case.window,
    )
    heads, dim = inputs.q_TND.shape[1:]
    on_device = triton_attention.DeviceWork(
        *(
            torch.from_numpy(array).to(DEVICE)
            for array in (
                work.items_I5,
                work.query_tokens_Q,
                work.query_slots_Q,
                work.partial_offsets_T,
                work.visible_T2,
            )
        ),
        torch.full((work.num_partials, heads, dim + 2), torch.nan, device=DEVICE),
    )
    actual = triton_attention.attend(
        inputs.q_TND.to(DEVICE),
        inputs.kv_layer.k_SKD.to(DEVICE),
        inputs.kv_layer.v_SKD.to(DEVICE),
        metadata.page_table_RP.to(DEVICE),
        on_device,
        page_size=case.page_size,
        scores=triton_attention.Scores(0.3, softcap),
        tile_tokens=tiling.tokens,
    )
    return actual.cpu(), expected, work


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_attention_is_the_reference_s(case, dtype):
    actual, expected, _ = run(case, Tiling(8, 4), dtype=dtype)
    assert_close(actual, expected)


@pytest.mark.parametrize("gqa_ratio", [1, 3, 5, 8])
def test_heads_that_share_keys(gqa_ratio):
    actual, expected, _ = run(SMALL[4], Tiling(2, 4), gqa_ratio=gqa_ratio, dtype=torch.float32)
    assert_close(actual, expected)


@pytest.mark.parametrize("head_dim", [16, 24, 80])
def test_sizes_of_heads(head_dim):
    actual, expected, _ = run(SMALL[4], Tiling(4, 4), head_dim=head_dim, dtype=torch.float32)
    assert_close(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_divided_keys_are_merged(dtype):
    actual, expected, work = run(LONG, Tiling(8, 4), dtype=dtype)
    assert work.num_partials > 0
    assert_close(actual, expected)


def test_scores_are_softly_capped():
    actual, expected, _ = run(SMALL[4], Tiling(4, 4), dtype=torch.float32, softcap=0.7)
    assert_close(actual, expected)
