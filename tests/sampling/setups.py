"""Rows for the sampler's tests, one call that samples them, and what should come out."""

from __future__ import annotations

import math

import torch
from scipy import stats

from sglite.request import LogprobParams, SamplingParams
from sglite.sampling import Sampler, SampleResult, SamplingState, TokenMasks
from sglite.scheduler.plan import RowSetup


def row_setup(
    row: int,
    sampling: SamplingParams | None = None,
    logprobs: LogprobParams | None = None,
    *,
    seed: int = 0,
    stop_token_ids: tuple[int, ...] = (),
    num_prompt_tokens: int = 4,
    output_token_ids: tuple[int, ...] = (),
) -> RowSetup:
    return RowSetup(
        row=row,
        request_id=f"request-{row}",
        sampling=sampling or SamplingParams(),
        logprobs=logprobs,
        seed=seed,
        stop_token_ids=stop_token_ids,
        num_prompt_tokens=num_prompt_tokens,
        page_ids=([],),
        output_token_ids=list(output_token_ids),
    )


def sampler_with(vocab_size: int, *setups: RowSetup, max_rows: int = 8) -> Sampler:
    state = SamplingState(max_rows, vocab_size, "cpu")
    for setup in setups:
        state.set_row(setup)
    return Sampler(state)


def packed(legal: torch.Tensor, entries: list[int] | None = None) -> TokenMasks:
    """Masks with the bits of ``legal [M, V]``, bool; what lies behind V is all ones."""
    num_rows, vocab_size = legal.shape
    bits = torch.ones(num_rows, -(-vocab_size // 32) * 32, dtype=torch.int64)
    bits[:, :vocab_size] = legal
    words_MW = (bits.view(num_rows, -1, 32) << torch.arange(32)).sum(-1).to(torch.int32)
    return TokenMasks(list(range(num_rows)) if entries is None else entries, words_MW)


def sample(
    sampler: Sampler,
    logits: torch.Tensor,
    rows: list[int],
    positions: list[int] | None = None,
    masks: TokenMasks | None = None,
) -> SampleResult:
    """Samples a copy of the logits, by default at the first output position."""
    positions_R = torch.tensor(positions or [4] * len(rows))
    return sampler.sample(logits.clone(), rows, positions_R, masks).to_result()


def exact_distribution(
    logits: list[float], *, temperature=1.0, top_k=-1, top_p=1.0, min_p=0.0
) -> list[float]:
    """Softmax, top-k, top-p over unfiltered sums, min-p, renormalised; one token at a time."""
    weights = [math.exp((x - max(logits)) / temperature) for x in logits]
    probs = [weight / sum(weights) for weight in weights]
    order = sorted(range(len(probs)), key=lambda token: (-probs[token], token))
    kept, mass = [0.0] * len(probs), 0.0
    for rank, token in enumerate(order):
        in_top_k = top_k == -1 or rank < top_k
        if in_top_k and mass < top_p and probs[token] >= min_p * probs[order[0]]:
            kept[token] = probs[token]
        mass += probs[token]
    return [weight / sum(kept) for weight in kept]


def p_value(token_ids: list[int], probs: list[float]) -> float:
    """Chi-square over the tokens that can occur; 0 where another one did."""
    counts = [token_ids.count(token) for token in range(len(probs))]
    possible = [token for token, prob in enumerate(probs) if prob * len(token_ids) > 1e-3]
    if sum(counts[token] for token in possible) != len(token_ids):
        return 0.0
    if len(possible) == 1:
        return 1.0
    expected = [probs[token] for token in possible]
    scale = len(token_ids) / sum(expected)
    observed = [counts[token] for token in possible]
    return stats.chisquare(observed, [prob * scale for prob in expected]).pvalue
