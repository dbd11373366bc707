"""The MLP over ranks and lanes: their partial results add up to the whole."""

from __future__ import annotations

import pytest
import torch

from sglite.models.layers.mlp import GatedMLP
from sglite.models.layers.parallel import ModelShare, TensorParallel
from sglite.models.registry import spec_from_hf
from tests.models.configs import make_hf_config
from tests.models.layers.sharded import whole_and_ranks


@pytest.mark.parametrize(("intermediate_size", "size"), [(96, 2), (90, 4)])
def test_partial_sums_of_the_ranks_add_up(intermediate_size, size):
    config = make_hf_config(intermediate_size=intermediate_size)
    whole, ranks = whole_and_ranks(spec_from_hf(config), size)
    x = torch.randn(5, 64)

    total = sum(rank.blocks()[0].mlp(x) for rank in ranks)

    torch.testing.assert_close(total, whole.blocks()[0].mlp(x))


class OtherLane:
    """A group of two in which the other lane has two tokens of ones, and our sums count."""

    rank, size = 0, 2

    def gather_tokens(self, hidden_TE, counts):
        return torch.cat((hidden_TE, torch.ones(counts[1], hidden_TE.shape[1])))

    def scatter_sums(self, hidden_TE, counts):
        self.summed = hidden_TE
        return hidden_TE[: counts[0]]


def make_lane(lanes: OtherLane) -> GatedMLP:
    spec = spec_from_hf(make_hf_config(mlp_bias=True))
    share = ModelShare(mlp=TensorParallel(0, 2), lanes=lanes)
    mlp = GatedMLP(spec, share=share, dtype=torch.float32, device="cpu")
    for parameter in mlp.parameters():
        parameter.copy_(torch.randn(parameter.shape) / 8)
    return mlp


def test_a_lane_computes_its_part_for_the_tokens_of_all():
    lanes = OtherLane()
    mlp, mine = make_lane(lanes), torch.randn(3, 64)

    result = mlp(mine, [3, 2])

    assert lanes.summed.shape == (5, 64)
    torch.testing.assert_close(result, lanes.summed[:3] + mlp.down.bias)


def test_a_lane_must_know_what_the_others_have():
    with pytest.raises(AssertionError, match="how many tokens the others have"):
        make_lane(OtherLane())(torch.ones(1, 64))
