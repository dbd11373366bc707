from __future__ import annotations

import pytest
import torch

from sglite.kernels.draw import Draws, reference
from sglite.kernels.draw.noise import row_keys
from tests.kernels.triton_harness import DEVICE, DTYPES

triton_draw = pytest.importorskip("sglite.kernels.draw.triton_draw")


def draws(temperatures: list[float]) -> Draws:
    """Of rows with seeds of their own, at positions of their own."""
    count = len(temperatures)
    seeds = torch.arange(7, 7 + count, device=DEVICE)
    keys = row_keys(seeds, torch.arange(100, 100 + count, device=DEVICE))
    return Draws(torch.tensor(temperatures, device=DEVICE), keys)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("vocab_size", [1, 17, 4096, 4097, 9000])
def test_winners_are_the_reference_s(vocab_size, dtype):
    how = draws([0.0, 1.0, 0.3, 2.0, 1e-3])
    logits = torch.randn(5, vocab_size, device=DEVICE).mul(3).to(dtype)
    assert torch.equal(triton_draw.draw(logits, how), reference.draw(logits, how))


def test_of_equally_likely_tokens_the_first_is_the_likeliest():
    logits = torch.zeros(1, 5000, device=DEVICE)
    logits[0, [17, 4500]] = 1.0
    assert triton_draw.draw(logits, draws([0.0])).tolist() == [17]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_logit_that_is_no_number_makes_its_row_invalid(value, temperature):
    logits = torch.randn(3, 6000, device=DEVICE)
    logits[1, 5000] = value
    how = draws([temperature] * 3)
    out = triton_draw.draw(logits, how).tolist()
    assert out == reference.draw(logits, how).tolist()
    assert out[1] == -1 and min(out[0], out[2]) >= 0


def test_a_row_without_a_possible_token_is_invalid():
    logits = torch.full((2, 100), -torch.inf, device=DEVICE)
    logits[1, 42] = -3.0
    assert triton_draw.draw(logits, draws([1.0, 1.0])).tolist() == [-1, 42]


def test_draws_follow_the_probabilities():
    count = 400
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05], device=DEVICE)
    logits = probabilities.log().expand(count, 4).contiguous()
    tokens = triton_draw.draw(logits, draws([1.0] * count))
    shares = torch.bincount(tokens, minlength=4) / count
    assert (shares - probabilities).abs().max() < 0.08


def test_no_rows_give_no_tokens():
    assert triton_draw.draw(torch.empty(0, 9, device=DEVICE), draws([])).tolist() == []
