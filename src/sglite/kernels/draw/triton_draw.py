"""The race in two passes: the winner of every block of the vocabulary, then the winner of those.

The logits are read once, in their own type; no probabilities are ever written. The noise has the
bits of ``noise``: a draw is the same here, on a CPU and in another batch, but for ties that
the last bit of a logarithm decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from sglite.kernels.triton_support import next_power_of_2

if TYPE_CHECKING:
    from sglite.kernels.draw import Draws

BLOCK = 4096


def draw(logits_RV: torch.Tensor, draws: Draws) -> torch.Tensor:
    """See the package."""
    num_rows, vocab_size = logits_RV.shape
    device = logits_RV.device
    num_blocks = triton.cdiv(vocab_size, BLOCK)
    scores = torch.empty((num_rows, num_blocks), dtype=torch.float32, device=device)
    tokens = torch.empty((num_rows, num_blocks), dtype=torch.int32, device=device)
    token_ids_R = torch.empty(num_rows, dtype=torch.int64, device=device)
    if num_rows == 0:
        return token_ids_R
    race_kernel[(num_rows, num_blocks)](
        logits_RV,
        draws.temperature_R,
        draws.keys_R2,
        scores,
        tokens,
        vocab_size,
        logits_RV.stride(0),
        num_blocks,
        BLOCK=BLOCK,
        num_warps=8,
    )
    winner_kernel[(num_rows,)](
        scores, tokens, token_ids_R, num_blocks, BLOCKS=next_power_of_2(num_blocks), num_warps=1
    )
    return token_ids_R


@triton.jit
def hash_token(token, key_1, key_2):
    """As ``noise.hash_tokens``, uint32."""
    x = token ^ key_1
    x = (x ^ (x >> 16)) * 0x21F0AAAD
    x = x ^ key_2
    x = (x ^ (x >> 15)) * 0x735A2D97
    return x ^ (x >> 15)


@triton.jit
def race_kernel(
    logits,
    temperatures,
    keys,
    scores,
    tokens,
    vocab_size,
    stride,
    num_blocks,
    BLOCK: tl.constexpr,
):
    """The winner of a block of a row's tokens; NaN where a logit is no number."""
    row = tl.program_id(0)
    block = tl.program_id(1)
    token = block * BLOCK + tl.arange(0, BLOCK)
    is_token = token < vocab_size
    source = logits + row.to(tl.int64) * stride + token
    logit = tl.load(source, mask=is_token, other=float("-inf")).to(tl.float32)
    temperature = tl.load(temperatures + row)
    score = logit
    if temperature > 0:
        key_1 = tl.load(keys + 2 * row).to(tl.uint32, bitcast=True)
        key_2 = tl.load(keys + 2 * row + 1).to(tl.uint32, bitcast=True)
        bits = hash_token(token.to(tl.uint32), key_1, key_2) & 0x7FFFFFFF
        uniform = bits.to(tl.float32) * 4.656612873077393e-10 + 2.3283064365386963e-10
        uniform = tl.minimum(uniform, 1.0 - 5.960464477539063e-08)
        noise = -log1p_of_negative(uniform)
        score = logit / temperature - tl.log(noise)
    # A NaN, or +inf, anywhere makes the row's result invalid: it wins with a score of NaN.
    is_bad = (logit != logit) | (logit == float("inf"))
    has_bad = tl.max(tl.where(is_token & is_bad, 1, 0), axis=0)
    score = tl.where(is_token & (logit > float("-inf")), score, float("-inf"))
    best = tl.max(score, axis=0)
    # Of equal scores the first token wins, as in torch.
    first = tl.min(tl.where(score == best, token, 2147483647), axis=0)
    place = row * num_blocks + block
    tl.store(scores + place, tl.where(has_bad != 0, float("nan"), best))
    tl.store(tokens + place, first)


@triton.jit
def log1p_of_negative(x):
    """``log(1 - x)`` for 0 < x < 1: an exact difference keeps the digits that 1 - x loses."""
    rest = 1.0 - x
    lost = (1.0 - rest) - x
    return tl.log(rest) + lost / rest


@triton.jit
def winner_kernel(scores, tokens, token_ids, num_blocks, BLOCKS: tl.constexpr):
    """The winner of a row's blocks; -1 where there is none, or one is NaN."""
    row = tl.program_id(0)
    block = tl.arange(0, BLOCKS)
    is_block = block < num_blocks
    score = tl.load(scores + row * num_blocks + block, mask=is_block, other=float("-inf"))
    token = tl.load(tokens + row * num_blocks + block, mask=is_block, other=2147483647)
    has_bad = tl.max(tl.where(score != score, 1, 0), axis=0)
    best = tl.max(tl.where(score == score, score, float("-inf")), axis=0)
    winner = tl.min(tl.where(score == best, token, 2147483647), axis=0)
    is_invalid = (has_bad != 0) | (best == float("-inf"))
    tl.store(token_ids + row, tl.where(is_invalid, -1, winner).to(tl.int64))
