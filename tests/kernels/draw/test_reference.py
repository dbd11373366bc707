"""The specification against the sampler, and against probabilities that are counted by hand."""

from __future__ import annotations

import pytest
import torch

from sglite.kernels.draw import reference
from sglite.request import SamplingParams
from tests.kernels.draw.rows import LOGITS, SAMPLINGS, SETTINGS, Rows, random
from tests.sampling.setups import exact_distribution, p_value

TWELVE = [0.3, 1.5, -0.5, 2.0, 1.0, -2.5, 1.4, 0.0, -1.0, 0.5, -1.5, -0.2]


@pytest.mark.parametrize("kind", LOGITS)
@pytest.mark.parametrize("size", [1, 97, 1500])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_tokens_are_those_of_the_sampler(dtype, size, kind):
    rows = Rows.mixed(LOGITS[kind](random(4 * len(SAMPLINGS), size)).to(dtype))
    rows.check(rows.drawn_by(reference.draw))


@pytest.mark.parametrize("kwargs", SETTINGS, ids=str)
def test_draws_follow_the_exact_distribution(kwargs):
    kwargs = kwargs | {"temperature": max(kwargs.get("temperature", 1.0), 1e-4)}
    rows = Rows.repeated(torch.tensor([TWELVE]), SamplingParams(**kwargs), 5_000, seed=-(2**62))
    expected = exact_distribution(TWELVE, **(kwargs | {"top_p": kwargs.get("top_p", 1.0) or 1e-30}))
    assert p_value(rows.drawn_by(reference.draw), expected) > 1e-4
