"""One linear layer's weights as the compiled CPU kernels read them, and its place in a program.

Shape legend: T tokens packed, N outputs. See docs/shapes.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch

from sglite.kernels.quantized_linear import QuantizedFormat
from sglite.kvcache.host_memory import lazy_zeros

PANEL = 16
"""Outputs of a matrix that lie together."""


class MatrixShape(NamedTuple):
    """``is_gated``: the first half of the outputs is the gate of the second."""

    outputs: int
    inputs: int
    bias: bool = False
    is_gated: bool = False

    @property
    def num_panels(self) -> int:
        """Panels of all outputs; gate and up each fill their own."""
        parts = 2 if self.is_gated else 1
        return parts * -(-self.outputs // parts // PANEL)

    @property
    def num_parameters(self) -> int:
        """Weights and biases."""
        return self.outputs * (self.inputs + self.bias)

    def empty_bias(self) -> torch.Tensor | None:
        """Zeros, one per output of every panel, float32."""
        return torch.zeros(self.num_panels * PANEL) if self.bias else None


@dataclass(frozen=True, slots=True)
class Matrix:
    """A linear layer's weights, ``[outputs, inputs]``, packed.

    ``packed`` has ``num_panels x 16 x inputs`` numbers (``kernels/cpu/pack.h``). ``is_gated``: the
    first half of the outputs (gate) and the second (up) take turns, panel by panel. ``bias`` is
    float32 in the order of the panels, padded with zeros, or None.
    """

    outputs: int
    inputs: int
    is_gated: bool
    packed: torch.Tensor
    bias: torch.Tensor | None

    @staticmethod
    def empty(
        outputs: int, inputs: int, dtype: torch.dtype, *, bias: bool = False, is_gated: bool = False
    ) -> Matrix:
        """A matrix of zeros."""
        shape = MatrixShape(outputs, inputs, bias, is_gated)
        packed = lazy_zeros((shape.num_panels * PANEL * inputs,), dtype)
        return Matrix(outputs, inputs, is_gated, packed, shape.empty_bias())

    @property
    def num_bytes(self) -> int:
        """Memory of weights and biases."""
        return self.packed.nbytes + (0 if self.bias is None else self.bias.nbytes)

    def panels_from(self, start: int) -> tuple[int, int]:
        """First panel, and the step to the next, of outputs from ``start`` on."""
        if self.is_gated:
            assert start in (0, self.outputs // 2), f"gate and up begin elsewhere than at {start}"
            return int(start > 0), 2
        assert start % PANEL == 0, f"outputs from {start} on are not whole panels"
        return start // PANEL, 1

    def set_bias(self, start: int, values: torch.Tensor) -> None:
        """Biases of the outputs from ``start`` on."""
        assert self.bias is not None, "a layer without bias"
        first, step = self.panels_from(start)
        for index, done in enumerate(range(0, len(values), PANEL)):
            begin, part = (first + index * step) * PANEL, values[done : done + PANEL]
            self.bias[begin : begin + len(part)] = part

    def pack(self, extension: Any, source: torch.Tensor, start: int, num_threads: int) -> None:
        """Weights ``[N, inputs]``, float32 or bfloat16, of the outputs from ``start`` on."""
        extension.pack(source, self.packed, *self.panels_from(start), num_threads)

    def holding(self, packed: torch.Tensor, bias: torch.Tensor | None) -> Matrix:
        """This matrix with other memory of the same type and shape."""
        return replace(self, packed=packed, bias=bias)

    def record_embed(self, program: Any, out: torch.Tensor, *, first_id: int = 0) -> None:
        """Add to ``program``: rows of the matrix, from id ``first_id`` on, for the step's tokens.

        Tokens that have none get zeros.
        """
        program.embed(self.packed, out, self.inputs, first_id)

    def record_linear(
        self,
        program: Any,
        x: torch.Tensor,
        out: torch.Tensor,
        *,
        epilogue: str = "store",
        activation: str = "silu",
        of_samples: bool = False,
    ) -> None:
        """Add to ``program``: the product with rows of ``x``."""
        shape = (self.num_results, self.inputs)
        program.linear(self.packed, self.bias, x, out, *shape, epilogue, activation, of_samples)

    @property
    def num_results(self) -> int:
        """Numbers of a row of the product: gate and up become one."""
        return self.outputs // 2 if self.is_gated else self.outputs


class RowCodes(NamedTuple):
    """Rows as integers (``kernels/quantized_linear``): scratch of a product."""

    codes: torch.Tensor
    scales: torch.Tensor
    sums: torch.Tensor


@dataclass(slots=True)
class QuantizedContext:
    """What the quantised matrices of a model share: the kernels, and scratch for rows.

    Every product makes its rows' integers anew, so all that are of one shape use one place.
    """

    extension: Any
    instruction_set: str
    _rows: dict[tuple[int, ...], RowCodes] = field(default_factory=dict)

    def view(self, packed: torch.Tensor, inputs: int, layout: QuantizedFormat) -> Any:
        """The extension's view of whole panels."""
        return self.extension.QuantizedMatrix(packed, inputs, layout.bits, layout.group_size)

    def rows(self, shape: tuple[int, int, int]) -> RowCodes:
        """Room for (number of rows, padded inputs, groups)."""
        if shape not in self._rows:
            num_rows, padded_inputs, num_groups = shape
            self._rows[shape] = RowCodes(
                torch.zeros(num_rows, padded_inputs, dtype=torch.int8),
                torch.zeros(num_rows),
                torch.zeros(num_rows, num_groups, dtype=torch.int32),
            )
        return self._rows[shape]


@dataclass(frozen=True, slots=True)
class QuantizedMatrix(Matrix):
    """A matrix of 8 or 4 bits. ``packed`` is bytes (``kernels/cpu/quantized.h``).

    ``handle`` is the extension's view of them.
    """

    layout: QuantizedFormat
    context: QuantizedContext
    handle: Any

    @staticmethod
    def empty_of(
        shape: MatrixShape, layout: QuantizedFormat, context: QuantizedContext
    ) -> QuantizedMatrix:
        """A matrix whose weights are to be packed."""
        packed = lazy_zeros((layout.num_bytes(shape.num_panels, shape.inputs),), torch.uint8)
        return QuantizedMatrix(
            shape.outputs,
            shape.inputs,
            shape.is_gated,
            packed,
            shape.empty_bias(),
            layout=layout,
            context=context,
            handle=context.view(packed, shape.inputs, layout),
        )

    def holding(self, packed: torch.Tensor, bias: torch.Tensor | None) -> QuantizedMatrix:
        """See :class:`Matrix`."""
        handle = self.context.view(packed, self.inputs, self.layout)
        return replace(self, packed=packed, bias=bias, handle=handle)

    def pack(self, extension: Any, source: torch.Tensor, start: int, num_threads: int) -> None:
        """Quantise ``[N, inputs]``, float32 or bfloat16, into the outputs from ``start`` on."""
        instruction_set = self.context.instruction_set
        self.handle.pack(instruction_set, source, *self.panels_from(start), num_threads)

    def record_embed(self, program: Any, out: torch.Tensor, *, first_id: int = 0) -> None:
        """See :class:`Matrix`."""
        program.quantized_embed(self.handle, out, first_id)

    def record_linear(
        self,
        program: Any,
        x: torch.Tensor,
        out: torch.Tensor,
        *,
        epilogue: str = "store",
        activation: str = "silu",
        of_samples: bool = False,
    ) -> None:
        """See :class:`Matrix`; ``x`` and ``out`` are float32."""
        num_groups = self.layout.num_groups(self.inputs)
        rows = self.context.rows((x.shape[0], self.layout.padded_inputs(self.inputs), num_groups))
        program.quantize(x, self.handle, *rows, of_samples)
        program.quantized_linear(
            self.handle, self.bias, *rows, out, self.num_results, epilogue, activation, of_samples
        )
