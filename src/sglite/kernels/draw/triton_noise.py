"""The random numbers of ``noise`` inside Triton kernels, with the same bits."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def mix64(x):
    """SplitMix64's finaliser on uint64."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    return x ^ (x >> 31)


@triton.jit
def row_keys(seed, position):
    """The two hash keys (uint32) of integers ``seed`` and ``position``."""
    seed = seed.to(tl.int64).to(tl.uint64, bitcast=True)
    position = position.to(tl.int64).to(tl.uint64, bitcast=True)
    keys = mix64(mix64(seed + 0x9E3779B97F4A7C15) + position * 0xD1342543DE82EF95)
    return keys.to(tl.uint32), (keys >> 32).to(tl.uint32)


@triton.jit
def hash_token(token, key_1, key_2):
    """As ``noise.hash_tokens``, of int32 tokens; uint32."""
    x = token.to(tl.uint32, bitcast=True) ^ key_1
    x = (x ^ (x >> 16)) * 0x21F0AAAD
    x = x ^ key_2
    x = (x ^ (x >> 15)) * 0x735A2D97
    return x ^ (x >> 15)


@triton.jit
def log_noise(token, key_1, key_2):
    """The logarithm of ``noise.exponential_noise`` of int32 tokens."""
    bits = (hash_token(token, key_1, key_2) & 0x7FFFFFFF).to(tl.int32)
    uniform = bits.to(tl.float32) * 4.656612873077393e-10 + 2.3283064365386963e-10
    uniform = tl.minimum(uniform, 1.0 - 5.960464477539063e-08)
    return tl.log(-log1p_of_negative(uniform))


@triton.jit
def log1p_of_negative(x):
    """``log(1 - x)`` for 0 < x < 1: an exact difference keeps the digits that 1 - x loses."""
    rest = 1.0 - x
    lost = (1.0 - rest) - x
    return tl.log(rest) + lost / rest
