"""A decoder's parameters as the compiled CPU kernels read them.

Each checkpoint tensor is packed straight into its place, on all threads: there is never a second
copy of the weights. Norms and biases are small and become float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from sglite.models.spec import DecoderSpec
from sglite.models.weight_map import WeightTarget

PANEL = 16
"""Outputs of a matrix that lie together."""


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
        parts = 2 if is_gated else 1
        num_panels = parts * -(-outputs // parts // PANEL)
        packed = torch.zeros(num_panels * PANEL * inputs, dtype=dtype)
        bias_values = torch.zeros(num_panels * PANEL) if bias else None
        return Matrix(outputs, inputs, is_gated, packed, bias_values)

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


class PackedWeights:
    """All parameters by the names of ``Decoder.named_parameters()``, without ".weight"."""

    def __init__(
        self, spec: DecoderSpec, *, dtype: torch.dtype, extension: Any, num_threads: int
    ) -> None:
        self.dtype = dtype
        self.matrices = _empty_matrices(spec, dtype)
        self.norms: dict[str, torch.Tensor] = {}
        self._extension = extension
        self._num_threads = num_threads

    def write(self, target: WeightTarget, tensor: torch.Tensor) -> None:
        """Pack a checkpoint tensor, whose shape is ``target.shape``, converting its type."""
        source = tensor if target.take is None else tensor.narrow(*target.take)
        name, kind = target.parameter.rsplit(".", 1)
        matrix = self.matrices.get(name)
        if matrix is None:
            self.norms[name] = source.float().contiguous()
            return
        start = 0 if target.put is None else target.put.start
        if kind == "bias":
            matrix.set_bias(start, source)
            return
        first, step = matrix.panels_from(start)
        source = source.float() if source.dtype == torch.float16 else source
        self._extension.pack(source, matrix.packed, first, step, self._num_threads)

    @property
    def num_bytes(self) -> int:
        """Memory of all of them."""
        tensors = [matrix.packed for matrix in self.matrices.values()]
        tensors += [m.bias for m in self.matrices.values() if m.bias is not None]
        return sum(tensor.nbytes for tensor in (*tensors, *self.norms.values()))


def _empty_matrices(spec: DecoderSpec, dtype: torch.dtype) -> dict[str, Matrix]:
    hidden, vocab = spec.hidden_size, spec.vocab_size
    matrices = {"embed_tokens": Matrix.empty(vocab, hidden, dtype)}
    if not spec.tie_word_embeddings:
        matrices["lm_head"] = Matrix.empty(vocab, hidden, dtype)
    q_size = spec.num_attention_heads * spec.head_dim
    qkv_size = q_size + 2 * spec.num_kv_heads * spec.head_dim
    ffn = spec.intermediate_size
    for index in range(spec.num_layers):
        layer = f"layers.{index}"
        matrices |= {
            f"{layer}.attention.qkv": Matrix.empty(qkv_size, hidden, dtype, bias=spec.qkv_bias),
            f"{layer}.attention.output": Matrix.empty(hidden, q_size, dtype, bias=spec.o_bias),
            f"{layer}.mlp.gate_up": Matrix.empty(
                2 * ffn, hidden, dtype, bias=spec.mlp_bias, is_gated=True
            ),
            f"{layer}.mlp.down": Matrix.empty(hidden, ffn, dtype, bias=spec.mlp_bias),
        }
    return matrices
