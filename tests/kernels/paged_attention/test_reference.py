"""The specification itself, against dense attention over contiguous keys."""

from __future__ import annotations

import pytest
import torch

from sglite.kernels.paged_attention.reference import paged_attention
from tests.kernels.paged_attention.cases import CASES, Inputs, Runs, make_inputs

DTYPE = torch.float32
SMALL = [case for case in CASES if max(length for _, length in case.runs) <= 150]


def dense_attention(
    inputs: Inputs, run: int, scale: float, softcap: float | None = None
) -> torch.Tensor:
    """One run by the textbook: all scores, a mask, a softmax."""
    metadata = inputs.metadata
    begin, end = metadata.run_offsets[run], metadata.run_offsets[run + 1]
    length = metadata.seq_lens[run]
    keys = torch.arange(length)
    pages = metadata.page_table_RP[run][keys // metadata.page_size].long()
    slots = pages * metadata.page_size + keys % metadata.page_size
    ratio = inputs.q_TND.shape[1] // inputs.kv_layer.k_SKD.shape[1]
    k = inputs.kv_layer.k_SKD[slots].repeat_interleave(ratio, dim=1).nan_to_num()
    v = inputs.kv_layer.v_SKD[slots].repeat_interleave(ratio, dim=1).nan_to_num()
    queries = torch.arange(length - (end - begin), length)[:, None]
    is_visible = keys <= queries
    if metadata.window is not None:
        is_visible &= keys > queries - metadata.window
    scores = torch.einsum("tnd,snd->nts", inputs.q_TND[begin:end], k) * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    weights = scores.masked_fill(~is_visible, -torch.inf).softmax(dim=-1)
    return torch.einsum("nts,snd->tnd", weights, v)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_it_is_dense_causal_attention_of_each_run(case):
    inputs = make_inputs(case, gqa_ratio=2, dtype=torch.float32)

    actual = paged_attention(inputs.q_TND, inputs.kv_layer, inputs.metadata, scale=0.3)

    expected = torch.cat([dense_attention(inputs, run, 0.3) for run in range(len(case.runs))])
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("softcap", [0.3, 50.0])
def test_capped_scores_are_capped_before_the_mask(softcap):
    inputs = make_inputs(Runs("windowed", [(1, 9), (6, 11)], window=5), gqa_ratio=2, dtype=DTYPE)
    arguments = (inputs.q_TND, inputs.kv_layer, inputs.metadata)

    actual = paged_attention(*arguments, scale=2.0, softcap=softcap)

    expected = torch.cat([dense_attention(inputs, run, 2.0, softcap) for run in range(2)])
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    assert (actual - paged_attention(*arguments, scale=2.0)).abs().max() > 1e-4


def test_a_token_that_sees_itself_alone_gets_its_own_value():
    inputs = make_inputs(CASES[0], gqa_ratio=4, dtype=torch.float32)

    actual = paged_attention(inputs.q_TND, inputs.kv_layer, inputs.metadata, scale=1.0)

    slot = int(inputs.metadata.out_slots_T[0])
    torch.testing.assert_close(actual[0], inputs.kv_layer.v_SKD[slot].repeat_interleave(4, dim=0))
