"""The sampler as a whole: exact distributions, seeds, isolation of rows."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch
from scipy import stats

from sglite.request import LogprobParams, SamplingParams
from sglite.sampling import Sampler, SamplingState
from tests.sampling.setups import (
    exact_distribution,
    p_value,
    packed,
    row_setup,
    sample,
    sampler_with,
)

NUM_DRAWS = 10_000
LOGITS = [0.3, 1.5, -0.5, 2.0, 1.0, -2.5, 1.4, 0.0, -1.0, 0.5, -1.5, -0.2]
BEST = LOGITS.index(max(LOGITS))

DRAWS = [
    {},
    {"temperature": 0.5},
    {"temperature": 1.7},
    {"temperature": 1e-3},
    {"temperature": 1e30},
    {"top_k": 2},
    {"top_k": 5},
    {"top_k": 100},
    {"top_p": 0.3},
    {"top_p": 0.75},
    {"top_p": 0.999},
    {"min_p": 0.3},
    {"min_p": 1.0},
    {"top_k": 6, "top_p": 0.6},
    {"top_k": 3, "top_p": 0.95},
    {"top_k": 8, "min_p": 0.15},
    {"top_p": 0.9, "min_p": 0.2},
    {"temperature": 0.6, "top_k": 7, "top_p": 0.9, "min_p": 0.05},
    {"temperature": 1.5, "top_k": 9, "top_p": 0.8, "min_p": 0.1},
]


def draws(sampling: SamplingParams, seed: int, num_draws: int = NUM_DRAWS) -> list[int]:
    """One row at as many positions."""
    sampler = sampler_with(len(LOGITS), row_setup(0, sampling, seed=seed))
    logits = torch.tensor([LOGITS]).expand(num_draws, -1)
    return sample(sampler, logits, [0] * num_draws, list(range(num_draws))).token_ids


@pytest.mark.parametrize("kwargs", DRAWS, ids=str)
def test_draws_follow_the_exact_distribution(kwargs):
    token_ids = draws(SamplingParams(**kwargs), seed=-(2**62))
    assert p_value(token_ids, exact_distribution(LOGITS, **kwargs)) > 1e-4


@pytest.mark.parametrize(
    ("drawn", "claimed"),
    [
        ({"temperature": 1.0}, {"temperature": 0.9}),
        ({"top_k": 5}, {"top_k": 6}),
        ({"top_p": 0.75}, {"top_p": 0.6}),
        ({"min_p": 0.3}, {"min_p": 0.45}),
    ],
)
def test_chi_square_notices_a_wrong_distribution(drawn, claimed):
    token_ids = draws(SamplingParams(**drawn), seed=1)
    assert p_value(token_ids, exact_distribution(LOGITS, **claimed)) < 1e-9


def test_draws_of_different_seeds_follow_the_distribution_at_one_position():
    num_rows = 5_000
    setups = [row_setup(i, SamplingParams(temperature=0.8), seed=i) for i in range(num_rows)]
    sampler = sampler_with(len(LOGITS), *setups, max_rows=num_rows)
    logits = torch.tensor([LOGITS]).expand(num_rows, -1)
    token_ids = sample(sampler, logits, list(range(num_rows))).token_ids
    assert p_value(token_ids, exact_distribution(LOGITS, temperature=0.8)) > 1e-4


def test_draws_of_consecutive_positions_are_independent():
    token_ids = draws(SamplingParams(top_k=3), seed=3)
    pairs = Counter(itertools.pairwise(token_ids))
    kept = sorted(set(token_ids))
    table = [[pairs[first, second] for second in kept] for first in kept]
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_noise_belongs_to_token_ids_and_not_to_ranks():
    keeps_all = SamplingParams(top_k=len(LOGITS))
    assert draws(keeps_all, seed=9, num_draws=500) == draws(SamplingParams(), 9, num_draws=500)


@pytest.mark.parametrize("temperature", [0.0, 1e-7])
def test_tiny_temperature_is_greedy(temperature):
    assert set(draws(SamplingParams(temperature=temperature), seed=1, num_draws=50)) == {BEST}


def test_top_k_one_is_greedy():
    assert set(draws(SamplingParams(top_k=1), seed=1, num_draws=50)) == {BEST}


# ------------------------------------------------------------------ seeds, whatever the batch

MIXED = [
    SamplingParams(temperature=0.0),
    SamplingParams(temperature=1.3),
    SamplingParams(top_k=5),
    SamplingParams(top_p=0.7),
    SamplingParams(top_k=2000, top_p=0.95, min_p=0.01),
    SamplingParams(presence_penalty=0.5, repetition_penalty=1.2),
    SamplingParams(temperature=0.0, frequency_penalty=1.5, logit_bias={3: 2.0}),
    SamplingParams(min_new_tokens=6, temperature=0.9),
]
VOCAB = 3000


def logits_at(request: int, position: int) -> torch.Tensor:
    """The same logits for a request's position in every batch; rounded, so that ties occur."""
    generator = torch.Generator().manual_seed(1000 * request + position)
    return (torch.randn(VOCAB, generator=generator) * 3).round(decimals=1)


def setup_of(request: int, row: int, output: tuple[int, ...] = ()):
    return row_setup(
        row, MIXED[request], seed=request * 7, stop_token_ids=(0, 1, 2), output_token_ids=output
    )


def generate(requests: list[int], rows: list[int], num_steps: int = 12) -> list[list[int]]:
    """Tokens of each request when these run together, in this order, on these rows."""
    setups = [setup_of(request, row) for request, row in zip(requests, rows, strict=True)]
    sampler = sampler_with(VOCAB, *setups, max_rows=16)
    outputs: list[list[int]] = [[] for _ in requests]
    for step in range(num_steps):
        logits = torch.stack([logits_at(request, step) for request in requests])
        result = sample(sampler, logits, rows, [4 + step] * len(rows))
        for output, token_id in zip(outputs, result.token_ids, strict=True):
            output.append(token_id)
    return outputs


@pytest.fixture(scope="module")
def alone() -> list[list[int]]:
    return [generate([request], [0])[0] for request in range(len(MIXED))]


@pytest.mark.parametrize(
    "requests", [list(range(8)), list(range(7, -1, -1)), [3, 1], [4, 5, 2], [6, 0, 7, 1, 3]]
)
def test_tokens_are_the_same_whatever_the_batch_order_and_row(alone, requests):
    rows = [(5 * i + 3) % 16 for i in range(len(requests))]
    assert generate(requests, rows) == [alone[request] for request in requests]


def test_other_seed_gives_other_tokens():
    assert draws(SamplingParams(), seed=1, num_draws=40) != draws(
        SamplingParams(), seed=2, num_draws=40
    )


@pytest.mark.parametrize("request_index", range(len(MIXED)))
def test_retracted_request_goes_on_as_if_nothing_had_happened(alone, request_index):
    expected = alone[request_index]
    sampler = sampler_with(VOCAB, setup_of(request_index, 2, tuple(expected[:5])))
    again = []
    for step in range(5, len(expected)):
        logits = logits_at(request_index, step)[None]
        again += sample(sampler, logits, [2], [4 + step]).token_ids
    assert again == expected[5:]


@pytest.mark.parametrize("num_rows", [1, 3, 64])
def test_large_vocabulary_is_drawn_in_chunks_as_row_by_row(num_rows):
    vocab_size = 151_936
    sampling = SamplingParams(top_p=0.9, temperature=0.7)
    setups = [
        row_setup(i, sampling if i % 2 else SamplingParams(), seed=i) for i in range(num_rows)
    ]
    sampler = sampler_with(vocab_size, *setups, max_rows=num_rows)
    logits = torch.randn(num_rows, vocab_size) * 4
    together = sample(sampler, logits, list(range(num_rows))).token_ids
    picked = {0, num_rows // 2, num_rows - 1}
    for i in picked:
        assert sample(sampler, logits[i : i + 1], [i]).token_ids == [together[i]]


# ------------------------------------------------------------------------------ the border


def test_minimum_length_masks_stop_ids_until_it_is_reached():
    sampling = SamplingParams(temperature=0, min_new_tokens=2)
    setup = row_setup(0, sampling, stop_token_ids=(1,), num_prompt_tokens=4)
    logits = torch.tensor([[0.0, 9.0, 1.0]]).expand(4, -1)
    assert sample(sampler_with(3, setup), logits, [0] * 4, [4, 5, 6, 7]).token_ids == [2, 2, 1, 1]


def test_penalties_follow_the_tokens_that_were_sampled():
    sampler = sampler_with(4, row_setup(0, SamplingParams(temperature=0, frequency_penalty=1.0)))
    logits = torch.tensor([[2.5, 1.75, 0.0, -9.0]])
    tokens = [sample(sampler, logits, [0], [4 + i]).token_ids[0] for i in range(6)]
    assert tokens == [0, 1, 0, 1, 0, 2]


BAD_ROWS = {
    "one nan": lambda row: row.index_fill(0, torch.tensor([7]), float("nan")),
    "all nan": lambda row: torch.full_like(row, float("nan")),
    "plus infinity": lambda row: row.index_fill(0, torch.tensor([7]), float("inf")),
    "all minus infinity": lambda row: torch.full_like(row, float("-inf")),
}


@pytest.mark.parametrize("bad", BAD_ROWS)
@pytest.mark.parametrize("victim", range(len(MIXED)))
def test_invalid_row_ends_alone(alone, bad, victim):
    requests = list(range(len(MIXED)))
    sampler = sampler_with(VOCAB, *[setup_of(request, request) for request in requests])
    logits = torch.stack([logits_at(request, 0) for request in requests])
    logits[victim] = BAD_ROWS[bad](logits[victim])
    result = sample(sampler, logits, requests)
    assert result.invalid == {victim}
    assert result.token_ids[victim] == 0
    others = [i for i in requests if i != victim]
    assert [result.token_ids[i] for i in others] == [alone[i][0] for i in others]


def test_invalid_row_among_greedy_ones_ends_alone():
    setups = [row_setup(i, SamplingParams(temperature=0)) for i in range(3)]
    logits = torch.randn(3, 20)
    logits[1, 4] = float("nan")
    result = sample(sampler_with(20, *setups), logits, [0, 1, 2])
    assert result.invalid == {1}
    assert result.token_ids == [int(logits[0].argmax()), 0, int(logits[2].argmax())]


@pytest.mark.parametrize("sampling", MIXED)
def test_row_without_a_legal_token_is_invalid(sampling):
    sampler = sampler_with(8, row_setup(0, sampling), row_setup(1, sampling))
    masks = torch.ones(2, 8, dtype=torch.bool)
    masks[0] = False
    result = sample(sampler, torch.zeros(2, 8), [0, 1], masks=packed(masks))
    assert (result.invalid, result.token_ids[0]) == ({0}, 0)


def test_nan_under_a_masked_token_is_noticed():
    logits = torch.zeros(1, 8)
    logits[0, 3] = float("nan")
    masks = torch.ones(1, 8, dtype=torch.bool)
    masks[0, 3] = False
    assert sample(sampler_with(8, row_setup(0)), logits, [0], masks=packed(masks)).invalid == {0}


@pytest.mark.parametrize("vocab_size", [1, 31, 32, 33, 1000, 4096])
@pytest.mark.parametrize("masked", [[0], [3], [0, 2, 3], [0, 1, 2, 3, 4]])
def test_a_masked_row_draws_as_from_hidden_logits_and_others_as_without_masks(masked, vocab_size):
    sampler = sampler_with(
        vocab_size, *(row_setup(i, sampling) for i, sampling in enumerate(MIXED[:5]))
    )
    logits = 3 * torch.randn(5, vocab_size)
    legal = torch.rand(len(masked), vocab_size) < 0.3
    legal[:, vocab_size // 2] = True
    found = sample(sampler, logits, list(range(5)), masks=packed(legal, masked))
    hidden = logits.clone()
    hidden[masked] = hidden[masked].masked_fill(~legal, float("-inf"))
    expected = sample(sampler, hidden, list(range(5)))
    assert found == expected


@pytest.mark.parametrize("sampling", MIXED[:5])
def test_only_legal_tokens_are_drawn(sampling):
    setups = [row_setup(i, sampling, seed=i) for i in range(200)]
    masks = torch.rand(200, 30) < 0.2
    masks[:, 29] = True
    result = sample(
        sampler_with(30, *setups, max_rows=200),
        torch.randn(200, 30),
        list(range(200)),
        masks=packed(masks),
    )
    assert result.invalid == frozenset()
    assert all(masks[i, token_id] for i, token_id in enumerate(result.token_ids))


def test_invalid_row_has_no_logprobs_and_counts_no_token():
    sampling = SamplingParams(presence_penalty=1.0)
    sampler = sampler_with(8, row_setup(0, sampling, LogprobParams(top_num=2)))
    result = sample(sampler, torch.full((1, 8), float("nan")), [0])
    assert result.logprobs == {}
    assert not sampler.state.counts.counts_SV.any()


def test_reused_row_answers_as_a_fresh_one():
    loud = SamplingParams(
        temperature=1.9,
        top_k=2,
        presence_penalty=2.0,
        repetition_penalty=2.0,
        logit_bias={5: 50.0},
        min_new_tokens=99,
    )
    logits = torch.randn(20, 30)
    quiet = row_setup(3, SamplingParams(top_p=0.9), seed=5, stop_token_ids=(1,))
    used = sampler_with(30, row_setup(3, loud, LogprobParams(), stop_token_ids=(1, 2, 4)))
    for i in range(10):
        sample(used, logits[i : i + 1], [3], [4 + i])
    used.state.clear_row(3)
    used.state.set_row(quiet)
    fresh = sampler_with(30, quiet)
    positions = list(range(4, 24))
    assert sample(used, logits, [3] * 20, positions) == sample(fresh, logits, [3] * 20, positions)


def test_half_precision_logits_are_sampled_in_fp32_and_left_alone():
    logits = torch.randn(1, 20).bfloat16()
    before = logits.clone()
    setup = row_setup(0, SamplingParams(logit_bias={2: 9.0}, temperature=0))
    result = sampler_with(20, setup).sample(logits, [0], torch.tensor([4])).to_result()
    assert result.token_ids == [2]
    assert torch.equal(logits, before)


def test_rows_may_come_as_a_tensor():
    sampler = sampler_with(12, row_setup(0), row_setup(1, seed=1))
    logits = torch.randn(2, 12)
    positions = torch.tensor([4, 4])
    first = sampler.sample(logits.clone(), [1, 0], positions).token_ids_R
    assert torch.equal(sampler.sample(logits, torch.tensor([1, 0]), positions).token_ids_R, first)


def test_width_of_the_logits_is_checked():
    with pytest.raises(AssertionError):
        Sampler(SamplingState(2, 10, "cpu")).sample(torch.zeros(1, 11), [0], torch.tensor([4]))


def test_greedy_rows_take_the_lowest_of_equal_tokens():
    setup = row_setup(0, SamplingParams(temperature=0))
    assert sample(sampler_with(9, setup), torch.zeros(1, 9), [0]).token_ids == [0]
