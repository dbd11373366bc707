"""The race in two kernels: the winner of every block of the vocabulary, then the row's token.

The logits are read once, in their own type, and no probabilities are written. Rows with filters
look again at a few blocks. Nothing is sorted: a winner of the whole race that the filters keep is
the winner of the race among the kept. Whether they keep it shows in what is ranked before it, how
many tokens and how large their sum. If they do not, they keep nothing behind it either, and those
before it race again. Each time the weight that is left shrinks to a share as random as the draw.
(Rejection with a moving bound is how FlashInfer samples, Ye et al. 2025; with a race the draw does
not depend on how often it is run.)

Tokens are ranked by weight, ``exp((logit - largest) / temperature)``, of equal ones the lower id
first. Sums are float32, always in the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from sglite.kernels.draw.triton_noise import log_noise, row_keys
from sglite.kernels.triton_support import next_power_of_2

if TYPE_CHECKING:
    from sglite.kernels.draw import DrawParameters

BLOCK = 4096
NO_TOKEN = tl.constexpr(2147483647)


def draw(
    logits_RV: torch.Tensor,
    rows_R: torch.Tensor,
    positions_R: torch.Tensor,
    parameters: DrawParameters,
    *,
    last_token_W: torch.Tensor,
    token_ids_R: torch.Tensor,
) -> None:
    """See the package."""
    num_rows, vocab_size = logits_RV.shape
    if num_rows == 0:
        return
    num_blocks = triton.cdiv(vocab_size, BLOCK)
    shape, device = (num_rows, num_blocks), logits_RV.device
    # Apart, so that all begin where memory does: kernels are compiled for what they find.
    peaks, scores, sums = (torch.empty(shape, dtype=torch.float32, device=device) for _ in range(3))
    tokens = torch.empty(shape, dtype=torch.int32, device=device)
    source = (logits_RV, vocab_size, logits_RV.stride(0), rows_R, positions_R)
    limits = (parameters.temperature_W, parameters.top_p_W, parameters.seed_W)
    blocks = (peaks, scores, sums, tokens, num_blocks)
    race_kernel[shape](*source, *limits, *blocks, BLOCK=BLOCK, num_warps=8)
    winner_kernel[(num_rows,)](
        *source,
        *limits,
        parameters.min_p_W,
        parameters.top_k_W,
        *blocks,
        last_token_W,
        token_ids_R,
        BLOCK=BLOCK,
        NUM_BLOCKS=next_power_of_2(num_blocks),
        num_warps=32,
    )


@triton.jit
def race_kernel(
    logits,
    vocab_size,
    stride,
    rows,
    positions,
    temperatures,
    top_ps,
    seeds,
    peaks,
    scores,
    sums,
    tokens,
    num_blocks,
    BLOCK: tl.constexpr,
):
    """Of a block of a row's tokens: the largest logit (a NaN counts as infinite), the winner and
    its score in tempered logits below that one, and, where top-p asks, the sum of the weights."""
    index = tl.program_id(0)
    block = tl.program_id(1)
    row = tl.load(rows + index)
    place = index * num_blocks + block
    token = block * BLOCK + tl.arange(0, BLOCK)
    source = logits + index.to(tl.int64) * stride
    logit = tl.load(source + token, mask=token < vocab_size, other=float("-inf")).to(tl.float32)
    logit = tl.where(logit == logit, logit, float("inf"))
    peak = tl.max(logit, axis=0)
    # Without a number to measure from, from 0: the row is invalid, or the block cannot win.
    score = logit - tl.where(tl.abs(peak) < float("inf"), peak, 0.0)
    temperature = tl.load(temperatures + row)
    if temperature > 0:
        score = score / temperature
        if tl.load(top_ps + row) < 1:
            tl.store(sums + place, tl.sum(tl.exp(score), axis=0))
        key_1, key_2 = row_keys(tl.load(seeds + row), tl.load(positions + index))
        score = score - log_noise(token, key_1, key_2)
    best = tl.max(score, axis=0)
    tl.store(peaks + place, peak)
    tl.store(scores + place, best)
    # Of equal scores the first token wins, as in torch.
    tl.store(tokens + place, tl.min(tl.where(score == best, token, NO_TOKEN), axis=0))


@triton.jit
def winner_kernel(
    logits,
    vocab_size,
    stride,
    rows,
    positions,
    temperatures,
    top_ps,
    seeds,
    min_ps,
    top_ks,
    peaks,
    scores,
    sums,
    tokens,
    num_blocks,
    last_tokens,
    token_ids,
    BLOCK: tl.constexpr,
    NUM_BLOCKS: tl.constexpr,
):
    """A row's token: the winner of its blocks, or the one that its filters leave."""
    index = tl.program_id(0)
    row = tl.load(rows + index)
    temperature = tl.load(temperatures + row)
    block = tl.arange(0, NUM_BLOCKS)
    place = index * num_blocks + block
    is_block = block < num_blocks
    block_peak = tl.load(peaks + place, mask=is_block, other=float("-inf"))
    peak = tl.max(block_peak, axis=0)
    winner = -1
    if tl.abs(peak) < float("inf"):
        lag = block_peak - peak
        if temperature > 0:
            lag = lag / temperature
        score = tl.load(scores + place, mask=is_block, other=float("-inf")) + lag
        token = tl.load(tokens + place, mask=is_block, other=NO_TOKEN)
        best = tl.max(score, axis=0)
        winner = tl.min(tl.where(score == best, token, NO_TOKEN), axis=0)
        top_p, min_p = tl.load(top_ps + row), tl.load(min_ps + row)
        top_k = tl.load(top_ks + row)
        if (temperature > 0) & ((top_k < vocab_size) | (top_p < 1) | (min_p > 0)):
            max_sum = float("inf")
            if top_p < 1:
                block_sum = tl.load(sums + place, mask=is_block, other=0.0)
                max_sum = top_p * tl.sum(block_sum * tl.exp(lag), axis=0)
            key_1, key_2 = row_keys(tl.load(seeds + row), tl.load(positions + index))
            source = logits + index.to(tl.int64) * stride
            first_peak = peaks + index * num_blocks
            winner = kept_winner(
                source, vocab_size, first_peak, num_blocks, peak, temperature, key_1, key_2,
                winner, top_k, max_sum, min_p, BLOCK=BLOCK,
            )  # fmt: skip
    tl.store(token_ids + index, winner)
    tl.store(last_tokens + row, tl.maximum(winner, 0).to(tl.int64))


@triton.jit
def kept_winner(
    source,
    vocab_size,
    peaks,
    num_blocks,
    peak,
    temperature,
    key_1,
    key_2,
    winner,
    top_k,
    max_sum,
    min_p,
    BLOCK: tl.constexpr,
):
    """The winner among the kept, from that among all. ``max_sum`` is top-p of all weights."""
    weight = tl.exp((tl.load(source + winner).to(tl.float32) - peak) / temperature)
    is_kept = False
    while not is_kept:
        # Below min-p nothing is kept: such a winner says no more than that those above race.
        is_low = weight < min_p
        count, weight_sum, next_winner = race_before(
            source, vocab_size, peaks, num_blocks, peak, temperature, key_1, key_2,
            tl.where(is_low, min_p, weight), tl.where(is_low, NO_TOKEN, winner), BLOCK=BLOCK,
        )  # fmt: skip
        # The first of the ranking stays whatever the filters say, so this ends.
        is_kept = (count == 0) | ((count < top_k) & (weight_sum < max_sum) & (weight >= min_p))
        if not is_kept:
            winner = next_winner
            weight = tl.exp((tl.load(source + winner).to(tl.float32) - peak) / temperature)
    return winner


@triton.jit
def race_before(
    source,
    vocab_size,
    peaks,
    num_blocks,
    peak,
    temperature,
    key_1,
    key_2,
    end_weight,
    end_token,
    BLOCK: tl.constexpr,
):
    """Of the tokens ranked before (weight, id): how many, the sum of their weights, the winner."""
    lane = tl.arange(0, BLOCK)
    counts = tl.zeros([BLOCK], tl.int32)
    weight_sums = tl.zeros([BLOCK], tl.float32)
    best_scores = tl.full([BLOCK], float("-inf"), tl.float32)
    best_tokens = tl.full([BLOCK], NO_TOKEN, tl.int32)
    for block in range(num_blocks):
        block_weight = tl.exp((tl.load(peaks + block) - peak) / temperature)
        if block_weight >= end_weight:
            token = block * BLOCK + lane
            is_token = token < vocab_size
            logit = tl.load(source + token, mask=is_token, other=float("-inf")).to(tl.float32)
            tempered = (logit - peak) / temperature
            weight = tl.exp(tempered)
            is_equal = (weight == end_weight) & (token < end_token)
            is_before = is_token & ((weight > end_weight) | is_equal)
            counts += is_before.to(tl.int32)
            weight_sums += tl.where(is_before, weight, 0.0)
            score = tempered - log_noise(token, key_1, key_2)
            is_better = is_before & (score > best_scores)
            best_scores = tl.where(is_better, score, best_scores)
            best_tokens = tl.where(is_better, token, best_tokens)
    best = tl.max(best_scores, axis=0)
    winner = tl.min(tl.where(best_scores == best, best_tokens, NO_TOKEN), axis=0)
    return tl.sum(counts, axis=0), tl.sum(weight_sums, axis=0), winner
