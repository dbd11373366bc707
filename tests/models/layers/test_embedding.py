"""The vocabulary is split over ranks: each embeds and scores its own ids."""

from __future__ import annotations

import torch

from sglite.models.layers.embedding import vocab_logits
from sglite.models.layers.parallel import TensorParallel
from sglite.models.registry import spec_from_hf
from tests.models.configs import make_hf_config
from tests.models.layers.sharded import whole_and_ranks


def test_ranks_embed_their_ids_and_zero_the_others():
    whole, ranks = whole_and_ranks(spec_from_hf(make_hf_config()), 4)
    ids = torch.tensor([0, 31, 32, 127, 64])

    parts = [rank.embed_tokens(ids) for rank in ranks]

    assert torch.equal(sum(parts), whole.embed_tokens(ids))
    assert [int(part.any(dim=1).sum()) for part in parts] == [2, 1, 1, 1]


def test_ranks_score_their_part_of_the_vocabulary():
    whole, ranks = whole_and_ranks(spec_from_hf(make_hf_config()), 2)
    hidden = torch.randn(3, 64)

    parts = [rank.compute_logits(hidden) for rank in ranks]

    torch.testing.assert_close(torch.cat(parts, dim=-1), whole.compute_logits(hidden))


def test_logits_are_float32_whatever_the_weights_are():
    hidden, weight = torch.ones(2, 4).bfloat16(), torch.ones(8, 4).bfloat16()

    assert vocab_logits(hidden, weight, TensorParallel(), vocab_size=8).dtype == torch.float32


def test_logits_stay_in_the_weights_type_where_they_need_not_be_wide():
    hidden, weight = torch.randn(2, 4).bfloat16(), torch.randn(8, 4).bfloat16()

    narrow = vocab_logits(hidden, weight, TensorParallel(), vocab_size=8, widen=False)

    assert narrow.dtype == torch.bfloat16
    assert torch.equal(narrow.float(), vocab_logits(hidden, weight, TensorParallel(), vocab_size=8))
