"""Ranking and filters against plain Python, ties included."""

from __future__ import annotations

import pytest
import torch

from sglite.kernels.draw.ranking import (
    num_candidates,
    ranked_topk,
    rows_per_chunk,
    surviving_tokens,
)


def plain_survivors(
    probs: list[float], *, top_k: int = -1, top_p: float = 1.0, min_p: float = 0.0
) -> set[int]:
    """The definition, one token at a time; of equal tokens the lower id is ahead."""
    order = sorted(range(len(probs)), key=lambda token: (-probs[token], token))
    kept, mass = set(), 0.0
    for rank, token in enumerate(order):
        in_top_k = top_k == -1 or rank < top_k
        if in_top_k and mass < top_p and probs[token] >= min_p * probs[order[0]]:
            kept.add(token)
        mass += probs[token]
    return kept


def survivors(probs_RV: torch.Tensor, filters: list[dict]) -> list[set[int]]:
    vocab_size = probs_RV.shape[1]
    top_k = [f.get("top_k", vocab_size) for f in filters]
    weights, ids = surviving_tokens(
        probs_RV,
        torch.tensor(top_k),
        torch.tensor([f.get("top_p", 1.0) for f in filters]),
        torch.tensor([f.get("min_p", 0.0) for f in filters]),
        max_top_k=max(top_k),
    )
    pairs = zip(ids.tolist(), weights.tolist(), strict=True)
    return [{i for i, w in zip(*pair, strict=True) if w > 0} for pair in pairs]


FILTERS = [
    {"top_k": 3},
    {"top_p": 0.5},
    {"top_p": 0.9, "top_k": 20},
    {"min_p": 0.1},
    {"top_k": 50, "top_p": 0.95, "min_p": 0.02},
    {"top_p": 1e-30},
    {"min_p": 1.0},
    {"top_k": 1_000_000},
]


@pytest.mark.parametrize("vocab_size", [5, 300, 3000])
@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_filters_keep_what_the_definition_keeps(vocab_size, spread):
    probs = (torch.randn(len(FILTERS), vocab_size) * spread).softmax(-1)
    filters = [f | {"top_k": min(f.get("top_k", vocab_size), vocab_size)} for f in FILTERS]
    expected = [
        plain_survivors(row, **f) for row, f in zip(probs.double().tolist(), filters, strict=True)
    ]
    assert survivors(probs, filters) == expected
    alone = [survivors(probs[i : i + 1], [f])[0] for i, f in enumerate(filters)]
    assert alone == expected


def test_equal_probabilities_keep_exactly_k_and_the_lower_ids():
    probs = torch.full((2, 2000), 1 / 2000)
    assert survivors(probs, [{"top_k": 7}, {"top_k": 1500}]) == [set(range(7)), set(range(1500))]


def test_token_that_crosses_p_is_kept():
    probs = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    assert survivors(probs, [{"top_p": 0.6}]) == [{0, 1}]
    assert survivors(probs, [{"top_p": 0.2}]) == [{0}]


def test_top_p_sums_unfiltered_probabilities():
    # Renormalised after top-k 2 the first token alone would have 0.67 and end the set.
    probs = torch.tensor([[0.4, 0.2, 0.2, 0.2]])
    assert survivors(probs, [{"top_p": 0.5, "top_k": 2}]) == [{0, 1}]


def test_min_p_is_relative_to_the_most_likely():
    probs = torch.tensor([[0.6, 0.3, 0.1]])
    assert survivors(probs, [{"min_p": 0.4}]) == [{0, 1}]


def test_candidate_count_is_small_for_peaked_rows_and_never_too_small():
    probs = (torch.randn(1, 50_000) * 6).softmax(-1)
    args = [torch.tensor([50_000]), torch.tensor([0.9]), torch.tensor([0.0])]
    count = num_candidates(probs, *args, max_top_k=50_000)
    assert len(plain_survivors(probs[0].double().tolist(), top_p=0.9)) <= count < 5_000


@pytest.mark.parametrize("k", [1, 4, 9])
def test_ranking_is_by_value_then_by_lower_id(k):
    values = torch.tensor([[0.0, -1.0, 2.0, -0.0, 2.0, float("-inf"), -1e-30, 7.0, -3.0]])
    expected = [7, 2, 4, 0, 3, 6, 1, 8, 5]
    ranked, ids = ranked_topk(values, k)
    assert ids.tolist() == [expected[:k]]
    assert torch.equal(ranked, values[:, expected[:k]])


def test_ranking_does_not_depend_on_k():
    values = torch.randn(3, 500).round(decimals=1)
    assert torch.equal(ranked_topk(values, 20)[1], ranked_topk(values, 300)[1][:, :20])


def test_chunks_hold_at_least_one_row():
    assert rows_per_chunk(10**9, torch.device("cpu")) == 1
    assert rows_per_chunk(151_936, torch.device("cpu")) * 151_936 * 8 <= 64 << 20
