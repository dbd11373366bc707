"""Linear layers over weights of 8 and 4 bits: the formats, and what a product of them is.

``reference`` is the specification. The implementation is part of the compiled CPU kernels, where
such a product is two operations of a program: rows become integers, then integers are multiplied.

| tensor | shape | dtype |
|---|---|---|
| row codes | [T, padded inputs] | int8, -127 to 127, zero beyond the inputs |
| row scales | [T] | float32; x is about code * scale |
| row sums | [T, G] | int32, of each group's codes |
| weights | whole panels, ``kernels/cpu/quantized.h`` | uint8 |
| result | [T, N] | float32 |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PANEL = 16
LINE_BYTES = 64


@dataclass(frozen=True, slots=True)
class QuantizedFormat:
    """How a matrix's weights are stored: 8 bits with one scale per output, or 4 with groups.

    ``group_size`` inputs of an output share a scale, bfloat16: 32, 64 or 128. It means nothing
    with 8 bits.
    """

    bits: Literal[4, 8]
    group_size: int = 0

    def padded_inputs(self, inputs: int) -> int:
        """Inputs including the zeros that fill the last four, or the last group."""
        return _round_up(inputs, 4 if self.bits == 8 else self.group_size)

    def num_groups(self, inputs: int) -> int:
        """Scales of an output."""
        return 1 if self.bits == 8 else self.padded_inputs(inputs) // self.group_size

    def num_bytes(self, num_panels: int, inputs: int) -> int:
        """Memory of panels of 16 outputs."""
        scale_bytes = 4 * PANEL if self.bits == 8 else 2 * PANEL * self.num_groups(inputs)
        code_bytes = PANEL * self.padded_inputs(inputs) * self.bits // 8
        return num_panels * (_round_up(scale_bytes, LINE_BYTES) + code_bytes)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
