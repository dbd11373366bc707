"""Weights and activations as integers, step by step in float32: the specification.

The compiled kernels give these very numbers, bit for bit.

Shape legend: T rows, K inputs, N outputs, G groups of inputs.
"""

from __future__ import annotations

import torch

CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65)
SMALLEST = 1e-30
"""What is smaller counts as zero, so that one divided by it is finite."""


def quantize_rows(x_TK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes ``[T, K]`` from -127 to 127 and scales ``[T]``: x is about code * scale.

    A row that has a NaN or an infinity gets zeros and the scale NaN.
    """
    largest_T = x_TK.abs().amax(dim=1)
    largest_T = torch.where(x_TK.isfinite().all(dim=1), largest_T, torch.nan)
    largest_T = torch.where(largest_T < SMALLEST, 0.0, largest_T)
    # Tensors on both sides: torch divides a number by a tensor in two steps.
    factor_T = torch.where(largest_T > 0, torch.tensor(127.0) / largest_T, 0.0)
    codes_TK = torch.where(largest_T[:, None] > 0, x_TK, 0.0) * factor_T[:, None]
    return codes_TK.round().to(torch.int8), largest_T / 127.0


def quantize_int8(weight_NK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes ``[N, K]`` from 1 to 255, zero at 128, and one scale ``[N, 1]`` per output."""
    codes_NK, scales_N = quantize_rows(weight_NK.float())
    return (codes_NK.int() + 128).to(torch.uint8), scales_N[:, None]


def quantize_int4(weight_NK: torch.Tensor, group_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes ``[N, G * group_size]`` from 0 to 15, zero at 8, and scales ``[N, G]``, bfloat16.

    Of scales that clip more or less the one is taken whose sum of squared errors is least. There
    is one more code below zero than above, so a scale may also be negative.
    """
    num_outputs, num_inputs = weight_NK.shape
    padding = -num_inputs % group_size
    padded = torch.nn.functional.pad(weight_NK.float(), (0, padding))
    groups = padded.view(num_outputs, -1, group_size)
    top, depth = (side.amax(dim=2).clamp(min=0).abs() for side in (groups, -groups))
    upward = torch.maximum(depth / 8.0, top / 7.0)
    downward = torch.maximum(depth / 7.0, top / 8.0)
    best = upward.bfloat16().float()
    least = _squared_error(groups, best)
    for clip in CLIPS:
        for whole in (upward, -downward):
            scale = (whole * clip).bfloat16().float()
            error = _squared_error(groups, scale)
            best = torch.where(error < least, scale, best)
            least = torch.minimum(error, least)
    codes = _int4_codes(groups, best) + 8
    return codes.to(torch.uint8).view(num_outputs, -1), best.bfloat16()


def quantized_linear(
    x_TK: torch.Tensor, codes_NK: torch.Tensor, scales_NG: torch.Tensor, *, zero: int
) -> torch.Tensor:
    """``[T, N]``: rows as integers times codes less ``zero``, group by group."""
    row_codes_TK, row_scales_T = quantize_rows(x_TK)
    num_groups = scales_NG.shape[1]
    group_size = codes_NK.shape[1] // num_groups
    row_codes_TK = torch.nn.functional.pad(row_codes_TK, (0, codes_NK.shape[1] - x_TK.shape[1]))
    result_TN = torch.zeros(len(x_TK), len(codes_NK))
    for group in range(num_groups):
        part = slice(group * group_size, (group + 1) * group_size)
        sums_TN = row_codes_TK[:, part].int() @ (codes_NK[:, part].int() - zero).T
        result_TN += sums_TN.float() * scales_NG[:, group].float()
    return result_TN * row_scales_T[:, None]


def _int4_codes(groups: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    factor = torch.where(scale.abs() < SMALLEST, 0.0, 1.0 / scale)
    return (groups * factor[..., None]).round().clamp(-8, 7)


def _squared_error(groups: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    misses = groups - _int4_codes(groups, scale) * scale[..., None]
    error = torch.zeros_like(scale)
    for i in range(groups.shape[2]):
        error += misses[..., i] * misses[..., i]
    return error
