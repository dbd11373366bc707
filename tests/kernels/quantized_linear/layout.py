"""The layout of quantised weights, spelled in torch: what the compiled kernels must write."""

from __future__ import annotations

import torch

from sglite.kernels.quantized_linear import LINE_BYTES, PANEL, QuantizedFormat

ZERO = {8: 128, 4: 8}
"""The code of a weight that is zero."""


def packed_bytes(
    codes_NK: torch.Tensor, scales_NG: torch.Tensor, layout: QuantizedFormat
) -> torch.Tensor:
    """Panels, uint8, of what the reference made of a matrix."""
    num_outputs, num_inputs = codes_NK.shape
    padded_inputs = layout.padded_inputs(num_inputs)
    num_panels = -(-num_outputs // PANEL)
    codes = torch.full((num_panels * PANEL, padded_inputs), ZERO[layout.bits], dtype=torch.uint8)
    codes[:num_outputs, :num_inputs] = codes_NK
    scales = torch.zeros(num_panels * PANEL, scales_NG.shape[1], dtype=scales_NG.dtype)
    scales[:num_outputs] = scales_NG
    scales = scales.view(num_panels, PANEL, -1).transpose(1, 2).reshape(num_panels, -1)
    scale_bytes = scales.contiguous().view(torch.uint8)
    padding = -scale_bytes.shape[1] % LINE_BYTES
    fours = codes.view(num_panels, PANEL, -1, 4)
    if layout.bits == 4:
        fours = fours[:, :, 0::2] | fours[:, :, 1::2] << 4
    code_bytes = fours.transpose(1, 2).reshape(num_panels, -1)
    return torch.cat(
        (torch.nn.functional.pad(scale_bytes, (0, padding)), code_bytes), dim=1
    ).flatten()
