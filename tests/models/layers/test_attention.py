"""Self-attention over ranks: each has its heads, their outputs add up."""

from __future__ import annotations

import pytest
import torch

from sglite.models.registry import spec_from_hf
from tests.model_harness import PagedSequences
from tests.models.configs import make_hf_config
from tests.models.layers.sharded import whole_and_ranks


@pytest.mark.parametrize("architecture", ["Qwen2ForCausalLM", "Qwen3ForCausalLM"])
@pytest.mark.parametrize("size", [2, 4])
def test_partial_sums_of_the_ranks_add_up(architecture, size):
    whole, ranks = whole_and_ranks(spec_from_hf(make_hf_config(architecture, head_dim=8)), size)
    hidden = torch.randn(7, 64)

    outputs = []
    for decoder in (whole, *ranks):
        sequences = PagedSequences(decoder, page_size=2, num_pages=8)
        batch = sequences.make_batch({0: [0] * 5, 1: [0] * 2})
        metadata = batch.attention[0]
        rotation = decoder.rotary(batch.positions_T, metadata.seq_lens, metadata.run_offsets)
        kv_layer = sequences.pool.layer(0)
        attention = decoder.blocks()[0].attention
        q = attention.project(hidden, rotation, kv_layer, metadata.out_slots_T)
        outputs.append(attention.finish(attention.attend(q, metadata, kv_layer)))

    torch.testing.assert_close(sum(outputs[1:]), outputs[0], atol=1e-5, rtol=1e-4)
