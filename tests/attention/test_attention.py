"""A step's attention: the new tokens are stored first, then everyone sees them."""

from __future__ import annotations

import torch

from sglite.attention import attention
from sglite.kernels.paged_attention import reference
from tests.kernels.paged_attention.cases import Runs, make_inputs

CASE = Runs("mixed", [(1, 9), (5, 5), (3, 12)])


def test_new_keys_and_values_are_stored_before_they_are_read():
    inputs = make_inputs(CASE, gqa_ratio=2, dtype=torch.float32)
    slots = inputs.metadata.out_slots_T
    k, v = (tensor[slots].clone() for tensor in inputs.kv_layer[:2])
    expected = reference.paged_attention(inputs.q_TND, inputs.kv_layer, inputs.metadata, scale=0.25)
    for tensor in inputs.kv_layer[:2]:
        tensor[slots] = torch.nan

    actual = attention(inputs.q_TND, k, v, inputs.metadata, inputs.kv_layer, scale=0.25)

    torch.testing.assert_close(actual, expected)
    assert torch.equal(inputs.kv_layer.k_SKD[slots], k)
    assert torch.equal(inputs.kv_layer.v_SKD[slots], v)
