from __future__ import annotations

import pytest
import torch

from sglite.kernels.draw import reference
from sglite.request import SamplingParams
from tests.kernels.draw.rows import LOGITS, SAMPLINGS, Rows, random
from tests.kernels.triton_harness import DEVICE, DTYPES
from tests.sampling.setups import exact_distribution, p_value

triton_draw = pytest.importorskip("sglite.kernels.draw.triton_draw")

# What a GPU makes infinite, or of infinities, numpy does with a warning.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

TIED = [1.0, 2.0, 2.0, 1.5, 2.0, 1.5, 0.5, 1.5, 0.5, 0.0]


def drawn(rows: Rows) -> list[int]:
    return rows.drawn_by(triton_draw.draw, DEVICE)


@pytest.fixture
def small_blocks(monkeypatch):
    """Many blocks in a small vocabulary."""
    monkeypatch.setattr(triton_draw, "BLOCK", 128)


@pytest.mark.parametrize("kind", LOGITS)
def test_tokens_are_those_of_the_sampler(kind):
    rows = Rows.mixed(LOGITS[kind](random(len(SAMPLINGS), 97)))
    rows.check(drawn(rows))


@pytest.mark.parametrize("size", [1, 4097])
def test_tokens_at_the_edges_of_a_block_are_those_of_the_sampler(size):
    rows = Rows.mixed(random(len(SAMPLINGS), size).round(decimals=1))
    rows.check(drawn(rows))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tokens_from_many_blocks_are_those_of_the_sampler(dtype, small_blocks):
    rows = Rows.mixed(2 * random(len(SAMPLINGS), 300).to(dtype))
    rows.check(drawn(rows))


def test_tokens_of_a_large_vocabulary_are_those_of_the_sampler():
    rows = Rows.mixed(4 * random(len(SAMPLINGS), 151_936)).of([11, 14, 16])
    rows.check(drawn(rows))


def test_of_equal_tokens_the_lower_ids_are_kept(small_blocks):
    filters = [{"top_k": k} for k in range(1, 11)]
    filters += [{"top_p": p} for p in (1e-6, 0.25, 0.26, 0.5)]
    filters += [{"min_p": p} for p in (0.6, 1.0)]
    logits = torch.tensor(TIED).repeat_interleave(20)[None]
    rows = Rows.repeated(logits, SamplingParams(), len(filters))
    # Hot: the last that is kept, or the first that is not, is not rare.
    rows.settings = [SamplingParams(**kwargs, temperature=20.0) for kwargs in filters]
    rows.check(drawn(rows))


def test_draws_follow_the_exact_distribution():
    filters = {"top_k": 6, "top_p": 0.9, "min_p": 0.1, "temperature": 1.5}
    logits = [0.3, 1.5, -0.5, 2.0, 1.0, -2.5, 1.4, 0.0, -1.0, 0.5, -1.5, -0.2]
    rows = Rows.repeated(torch.tensor([logits]), SamplingParams(**filters), 80)
    assert p_value(drawn(rows), exact_distribution(logits, **filters)) > 1e-3


@pytest.mark.parametrize("filters", [{}, {"top_p": 0.9}, {"temperature": 0.0}], ids=str)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_logit_that_is_no_number_makes_its_row_invalid(value, filters, small_blocks):
    rows = Rows.repeated(random(1, 200), SamplingParams(**filters), 3)
    sound = drawn(rows)
    rows.logits[1, 150] = value
    assert drawn(rows) == [sound[0], -1, sound[2]]


def test_parameters_out_of_their_range_do_not_hang():
    logits = random(6, 40)
    rows = Rows.mixed(logits)
    parameters = rows.parameters(40, DEVICE)
    parameters.temperature_W.fill_(1.0)
    parameters.top_p_W[2:].copy_(torch.tensor([torch.nan, -1.0, 0.5, 0.5, 1.0, 1.0, 1.0]))
    parameters.min_p_W[2:].copy_(torch.tensor([0.0, 0.0, torch.nan, 7.0, 7.0, 0.0, 0.0]))
    parameters.top_k_W.copy_(torch.tensor([40, 40, 40, 40, 40, 40, -3, 0, 40]))
    index = torch.arange(6, dtype=torch.int32, device=DEVICE)
    last, tokens = torch.zeros(9, dtype=torch.int64, device=DEVICE), torch.zeros_like(index)
    triton_draw.draw(
        logits.to(DEVICE), index + 2, index, parameters, last_token_W=last, token_ids_R=tokens
    )
    assert min(tokens.tolist()) >= 0 and max(tokens.tolist()) < 40


def test_rows_of_logits_may_lie_apart():
    rows = Rows.mixed(random(4, 50))
    expected = drawn(rows)
    rows.logits = torch.cat((rows.logits, torch.full_like(rows.logits, torch.nan)), dim=1)
    rows.logits, sizes = rows.logits[:, :50], rows.logits.stride()
    assert sizes == (100, 1)
    assert drawn(rows) == expected == rows.drawn_by(reference.draw)
