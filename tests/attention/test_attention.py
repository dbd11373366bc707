"""A step's attention is that of its kernels, whatever carries it out."""

from __future__ import annotations

import torch

from sglite.attention import attention
from sglite.kernels.paged_attention import reference
from tests.kernels.paged_attention.cases import Runs, make_inputs

CASE = Runs("mixed", [(1, 9), (5, 5), (3, 12)])


def test_every_token_sees_what_is_stored_up_to_itself():
    inputs = make_inputs(CASE, gqa_ratio=2, dtype=torch.float32)
    expected = reference.paged_attention(inputs.q_TND, inputs.kv_layer, inputs.metadata, scale=0.25)
    actual = attention(inputs.q_TND, inputs.metadata, inputs.kv_layer, scale=0.25)
    torch.testing.assert_close(actual, expected)
