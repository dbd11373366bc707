"""Random numbers that depend on nothing but (seed, position, token id).

A counter-based generator: no state, so a draw is the same whatever the batch, the row number or
the order, and comes again after a retraction. SplitMix64 mixes seed and position of a row into two
32-bit keys; a 32-bit multiply-xorshift hash (the constants of Wellons' "lowbias32") mixes these
with each token id. Integer arithmetic wraps, so the bits are equal on every device.

Shape legend: R rows, V vocab, K candidate tokens.
"""

from __future__ import annotations

import torch


def _as_signed(value: int) -> int:
    """The 64-bit pattern ``value`` as torch's int64 writes it."""
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN = _as_signed(0x9E3779B97F4A7C15)
_POSITION_STEP = _as_signed(0xD1342543DE82EF95)
_MIX_1 = _as_signed(0xBF58476D1CE4E5B9)
_MIX_2 = _as_signed(0x94D049BB133111EB)
_HASH_1 = 0x21F0AAAD
_HASH_2 = 0x735A2D97


def _mix64(x: torch.Tensor) -> torch.Tensor:
    """SplitMix64's finaliser on int64, with logical shifts."""
    x = (x ^ ((x >> 30) & ((1 << 34) - 1))) * _MIX_1
    x = (x ^ ((x >> 27) & ((1 << 37) - 1))) * _MIX_2
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def row_keys(seeds_R: torch.Tensor, positions_R: torch.Tensor) -> torch.Tensor:
    """Two hash keys per row, int32 ``[R, 2]``, from int64 seeds and positions."""
    keys_R = _mix64(_mix64(seeds_R + _GOLDEN) + positions_R * _POSITION_STEP)
    return keys_R.contiguous().view(torch.int32).view(-1, 2)


def _xor_shifted_(x: torch.Tensor, shift: int) -> torch.Tensor:
    """``x ^= x >> shift`` in place, the shift logical."""
    shifted = x >> shift
    return x.bitwise_xor_(shifted.bitwise_and_((1 << (32 - shift)) - 1))


def hash_tokens(keys_R2: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
    """Hash of each (row, token), int32 over its whole range.

    ``token_ids`` is int32, ``[V]`` for all rows or ``[R, K]``; the result is ``[R, V or K]``.
    """
    x = token_ids ^ keys_R2[:, :1]
    _xor_shifted_(x, 16).mul_(_HASH_1)
    x.bitwise_xor_(keys_R2[:, 1:])
    _xor_shifted_(x, 15).mul_(_HASH_2)
    return _xor_shifted_(x, 15)


def exponential_noise(keys_R2: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
    """Independent Exp(1) variables, fp32, for the tokens of :func:`hash_tokens`.

    The token with the largest ``p / noise`` is a draw from ``p`` (the exponential race, which is
    the Gumbel-max trick without its logarithm); ``p`` need not be normalised. The uniform number
    behind it is fine-grained near 0, where the winners of a race lie.
    """
    bits = hash_tokens(keys_R2, token_ids).bitwise_and_(0x7FFFFFFF)
    uniform = bits.to(torch.float32).mul_(2.0**-31).add_(2.0**-32)
    uniform.clamp_(max=1.0 - 2.0**-24)
    return uniform.neg_().log1p_().neg_()
