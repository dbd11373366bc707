"""Ranks' partial products add up to the whole."""

from __future__ import annotations

import pytest
import torch

from sglite.models.decoder import Decoder
from sglite.models.layers import embedding, linear
from sglite.models.layers.linear import RowParallelLinear, empty_parameter
from sglite.models.registry import spec_from_hf
from tests.models.configs import make_hf_config
from tests.models.layers.sharded import PartialSums, whole_and_ranks


def test_partial_sums_of_the_mlp_add_up():
    whole, ranks = whole_and_ranks(spec_from_hf(make_hf_config()), 2)
    x = torch.randn(5, 64)

    total = sum(rank.blocks()[0].mlp(x) for rank in ranks)

    torch.testing.assert_close(total, whole.blocks()[0].mlp(x))


def test_the_bias_of_a_split_linear_is_added_after_the_sum():
    class Doubling(PartialSums):
        def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
            return 2 * tensor

    linear = RowParallelLinear(
        2, 1, bias=True, tp=Doubling(0, 2), dtype=torch.float32, device="cpu"
    )
    linear.weight.fill_(10)
    linear.bias.copy_(torch.tensor([1.0, 2.0]))

    assert linear(torch.ones(1, 1)).tolist() == [[21.0, 22.0]]


def test_a_parameter_has_no_gradient():
    assert not empty_parameter(2, 3, dtype=torch.bfloat16, device="cpu").requires_grad


@pytest.mark.parametrize("deterministic", [False, True])
def test_all_products_of_a_decoder_are_as_deterministic_as_it_is(deterministic, monkeypatch):
    asked = []

    def noting(x, weight, bias=None, *, deterministic=False):
        asked.append(deterministic)
        return torch.nn.functional.linear(x, weight, bias)

    monkeypatch.setattr(linear, "linear", noting)
    monkeypatch.setattr(embedding, "linear", noting)
    decoder = Decoder(spec_from_hf(make_hf_config()), deterministic=deterministic)
    layer, hidden = decoder.blocks()[0], torch.zeros(1, 64)
    layer.mlp(hidden)
    layer.attention.qkv(hidden)
    layer.attention.output(torch.zeros(1, layer.attention.output.weight.shape[1]))
    decoder.compute_logits(hidden)
    assert asked == [deterministic] * 5


def test_partial_sums_of_ranks_are_as_deterministic_as_the_whole(monkeypatch):
    asked = []

    def noting(x, weight, bias=None, *, deterministic=False):
        asked.append((bias, deterministic))
        return x @ weight.T

    monkeypatch.setattr(linear, "linear", noting)
    ranked = RowParallelLinear(
        2,
        1,
        bias=False,
        tp=PartialSums(0, 2),
        dtype=torch.float32,
        device="cpu",
        deterministic=True,
    )
    ranked(torch.ones(1, 1))
    assert asked == [(None, True)]
