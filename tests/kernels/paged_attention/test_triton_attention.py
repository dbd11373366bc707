from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sglite.kernels.paged_attention import reference
from sglite.kernels.paged_attention.work_list import Scores, Tiling
from tests.kernels.paged_attention.cases import CASES, Runs, make_inputs
from tests.kernels.paged_attention.works import make_work, moved, on_device
from tests.kernels.triton_harness import DEVICE, DTYPES, assert_close

triton_attention = pytest.importorskip("sglite.kernels.paged_attention.triton_attention")

SMALL = [case for case in CASES if max(length for _, length in case.runs) < 100]
DECODE = Runs("decode", [(1, 1), (1, 64), (1, 65), (1, 130)], page_size=64)
LONG = Runs("long", [(1, 900), (1, 3)], page_size=64)
CHUNKS = Runs("chunks", [(7, 301), (20, 70), (2, 64)], page_size=64)
TILING = Tiling(8, 4)
SPLIT = triton_attention.Launch(4, 2, splits_edges=True)
DESCRIPTORS = triton_attention.Launch(4, 2, splits_edges=True, uses_descriptors=True)


def run(case, *, is_decode, tiling=TILING, gqa_ratio=2, softcap=None, launch=None,
        groups=False, inputs=None, **options):  # fmt: skip
    """The kernel's result, the reference's, and the work."""
    inputs = inputs or make_inputs(case, gqa_ratio=gqa_ratio, **options)
    expected = reference.paged_attention(
        inputs.q_TND, inputs.kv_layer, inputs.metadata, scale=0.3, softcap=softcap
    )
    work = make_work(inputs, tiling, is_decode=is_decode, groups=groups)
    actual = torch.full_like(inputs.q_TND, torch.nan, device=DEVICE)
    triton_attention.attend(
        inputs.q_TND.to(DEVICE),
        moved(inputs.kv_layer),
        inputs.metadata.page_table_RP.to(DEVICE),
        on_device(work, inputs, tiling, is_decode=is_decode),
        actual,
        page_size=case.page_size,
        scores=Scores(0.3, softcap),
        launch=launch,
    )
    return actual.cpu(), expected, work


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_chunks_are_the_reference_s(case):
    actual, expected, _ = run(case, is_decode=False, dtype=torch.float32)
    assert_close(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", [DECODE, replace(DECODE, page_size=16)], ids=str)
def test_decodes_are_the_reference_s(case, dtype):
    actual, expected, _ = run(case, is_decode=True, dtype=dtype)
    assert_close(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("window", [None, 90])
def test_chunks_after_a_prefix_are_the_reference_s(window, dtype):
    case = replace(CHUNKS, window=window)
    actual, expected, work = run(
        case, is_decode=False, tiling=Tiling(8, 4, fixed_part=64), dtype=dtype
    )
    assert len(work.merges_M2)
    assert_close(actual, expected)


@pytest.mark.parametrize("gqa_ratio", [1, 4, 5, 8])
@pytest.mark.parametrize("is_decode", [True, False])
def test_heads_that_share_keys(is_decode, gqa_ratio):
    case = DECODE if is_decode else Runs("chunk", [(5, 70)], page_size=64)
    tiling = Tiling(16 // gqa_ratio, 4)
    actual, expected, _ = run(
        case, is_decode=is_decode, tiling=tiling, gqa_ratio=gqa_ratio, dtype=torch.float32
    )
    assert_close(actual, expected)


@pytest.mark.parametrize("head_dim", [16, 64, 80, 96, 128])
@pytest.mark.parametrize("is_decode", [True, False])
def test_sizes_of_heads(is_decode, head_dim):
    case = DECODE if is_decode else Runs("chunk", [(5, 70)], page_size=64)
    actual, expected, _ = run(case, is_decode=is_decode, head_dim=head_dim, dtype=torch.float32)
    assert_close(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("window", [None, 500])
def test_divided_keys_are_merged(window, dtype):
    case = replace(LONG, window=window)
    actual, expected, work = run(case, is_decode=True, tiling=Tiling(8, 30), dtype=dtype)
    assert work.merges_M2[0, 1] > 3
    assert_close(actual, expected)


def test_more_parts_than_are_merged_at_once():
    tiling = Tiling(8, 1, fixed_part=64)
    actual, expected, work = run(LONG, is_decode=True, tiling=tiling, dtype=torch.float32)
    assert work.merges_M2[0, 1] > triton_attention.MERGED_AT_ONCE
    assert_close(actual, expected)


@pytest.mark.parametrize("is_decode", [True, False])
@pytest.mark.parametrize("softcap", [0.7, 30.0])
def test_scores_are_softly_capped(softcap, is_decode):
    case = DECODE if is_decode else Runs("chunk", [(5, 70)], page_size=64)
    actual, expected, _ = run(case, is_decode=is_decode, dtype=torch.float32, softcap=softcap)
    assert_close(actual, expected)


@pytest.mark.parametrize("launch", [SPLIT, DESCRIPTORS], ids=["split", "descriptors"])
@pytest.mark.parametrize(
    "case",
    [DECODE, replace(LONG, window=500), replace(CHUNKS, window=90)],
    ids=["decode", "window", "chunks"],
)
def test_other_ways_to_load_tiles(case, launch):
    is_decode = case.runs[0][0] == 1
    actual, expected, _ = run(case, is_decode=is_decode, launch=launch, dtype=torch.bfloat16)
    assert_close(actual, expected)


@pytest.mark.parametrize("is_decode", [True, False])
def test_keys_of_eight_bits_are_read_with_their_scales(is_decode):
    case = DECODE if is_decode else Runs("chunk", [(5, 70)], page_size=64)
    actual, expected, _ = run(case, is_decode=is_decode, dtype=torch.float32, kv_dtype=torch.int8)
    assert_close(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("gqa_ratio", [2, 5])
def test_shared_prefixes_of_several_levels(gqa_ratio, dtype):
    case = Runs("shared", [(1, 520), (1, 601), (1, 450), (1, 30), (1, 520)], page_size=64)
    inputs = make_inputs(case, gqa_ratio=gqa_ratio, dtype=dtype)
    table = inputs.metadata.page_table_RP
    table[1, :7] = table[0, :7]
    table[4, :8] = table[0, :8]
    table[2, :4] = table[0, :4]
    tiling = Tiling(16 // gqa_ratio, 4)
    actual, expected, work = run(
        case, is_decode=True, tiling=tiling, groups=True, inputs=inputs, dtype=dtype
    )
    assert work.items_I6[:, 1].max() > 1
    assert_close(actual, expected)


def test_a_row_alone_is_bitwise_the_row_in_a_batch():
    case = replace(LONG, runs=[(1, 300), (1, 900), (1, 64)])
    tiling = Tiling(8, 1, fixed_part=256)
    inputs = make_inputs(case, gqa_ratio=2, dtype=torch.bfloat16)
    together, _, _ = run(case, is_decode=True, tiling=tiling, inputs=inputs)
    for row, (_, length) in enumerate(case.runs):
        metadata = replace(
            inputs.metadata,
            page_table_RP=inputs.metadata.page_table_RP[row : row + 1],
            run_offsets=[0, 1],
            seq_lens=[length],
        )
        one = replace(inputs, q_TND=inputs.q_TND[row : row + 1], metadata=metadata)
        alone, _, _ = run(case, is_decode=True, tiling=tiling, inputs=one)
        assert torch.equal(alone[0], together[row])


def test_a_token_of_a_chunk_does_not_depend_on_the_tile_it_is_in():
    inputs = make_inputs(Runs("chunk", [(9, 140)], 64, 100), gqa_ratio=2, dtype=torch.bfloat16)
    results = [
        run(Runs("chunk", [(9, 140)], 64, 100), is_decode=False, inputs=inputs,
            tiling=Tiling(tokens, 1, fixed_part=64))[0]
        for tokens in (2, 8)
    ]  # fmt: skip
    assert torch.equal(*results)


def test_arrays_of_zeros_mean_nothing_to_do():
    inputs = make_inputs(DECODE, gqa_ratio=2, dtype=torch.float32)
    tiling = Tiling(8, 4)
    work = on_device(make_work(inputs, tiling, is_decode=True), inputs, tiling, is_decode=True)
    empty = {
        name: torch.zeros_like(getattr(work, name))
        for name in ("items_I6", "queries_Q2", "merges_M2", "slot_tokens_S")
    }
    out_TND = torch.full_like(inputs.q_TND, 7.0, device=DEVICE)
    triton_attention.attend(
        inputs.q_TND.to(DEVICE),
        moved(inputs.kv_layer),
        inputs.metadata.page_table_RP.to(DEVICE),
        replace(work, **empty),
        out_TND,
        page_size=64,
        scores=Scores(0.3),
    )
    assert np.all(out_TND.cpu().numpy() == 7.0)
