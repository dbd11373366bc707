"""A decoder's parameters as the compiled CPU kernels read them.

Each checkpoint tensor is packed straight into its place, on all threads: there is never a second
copy of the weights. Norms and biases are small and become float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from sglite.models.layers.parallel import ModelShare
from sglite.models.packed_matrix import (
    PANEL,
    Matrix,
    MatrixShape,
    QuantizedContext,
    QuantizedMatrix,
)
from sglite.models.quantization import Quantization
from sglite.models.spec import DecoderSpec
from sglite.models.weight_map import WeightTarget, weight_map

__all__ = ["PANEL", "Matrix", "PackedWeights", "matrix_shapes", "quantized_bytes"]


class PackedWeights:
    """All parameters by the names of ``Decoder.named_parameters()``, without ".weight".

    ``dtype`` is that of the matrices, unless there is a ``quantization``: then
    ``instruction_set`` says whose kernels make their integers.
    """

    def __init__(
        self,
        spec: DecoderSpec,
        *,
        dtype: torch.dtype,
        extension: Any,
        num_threads: int,
        quantization: Quantization | None = None,
        instruction_set: str = "portable",
        share: ModelShare | None = None,
    ) -> None:
        self.spec = spec
        self.dtype = dtype
        self.quantization = quantization
        self.instruction_set = instruction_set
        self.share = share = share or ModelShare()
        shapes = matrix_shapes(spec, share)
        if quantization is None:
            self.matrices = {name: _empty_matrix(shape, dtype) for name, shape in shapes.items()}
        else:
            context = QuantizedContext(extension, instruction_set)
            self.matrices = {
                name: QuantizedMatrix.empty_of(shape, quantization.format_of(name), context)
                for name, shape in shapes.items()
            }
        self.norms: dict[str, torch.Tensor] = {}
        self._norm_shapes = _norm_shapes(spec, share, shapes)
        self._extension = extension
        self._num_threads = num_threads

    def write(self, target: WeightTarget, tensor: torch.Tensor) -> None:
        """Pack a checkpoint tensor, whose shape is ``target.shape``, converting its type."""
        source = target.part(tensor)
        name, kind = target.parameter.rsplit(".", 1)
        matrix = self.matrices.get(name)
        if matrix is None:
            self.norms[name] = source.float().contiguous()
            return
        start = 0 if target.put is None or target.put.dim == 1 else target.put.start
        if kind == "bias":
            if matrix.bias is not None:  # else another rank adds it
                matrix.set_bias(start, source)
            return
        source = source.float() if source.dtype == torch.float16 else source
        missing = matrix.inputs - source.shape[1]
        source = functional.pad(source, (0, missing)) if missing else source
        if len(source):
            matrix.pack(self._extension, source, start, self._num_threads)

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of them as tensors of a file; matrices first, of which each fills cache lines."""
        norms = {f"norms/{name}": self.norms[name] for name in self._norm_shapes}
        return self._matrix_tensors() | norms

    def layout(self) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """Type and shape of each of :meth:`tensors`; known before anything is written."""
        tensors = self._matrix_tensors().items()
        layout = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors}
        norms = self._norm_shapes.items()
        return layout | {f"norms/{name}": (torch.float32, shape) for name, shape in norms}

    def _matrix_tensors(self) -> dict[str, torch.Tensor]:
        biases = {name: matrix.bias for name, matrix in self.matrices.items()}
        return {
            **{f"matrices/{name}": matrix.packed for name, matrix in self.matrices.items()},
            **{f"biases/{name}": bias for name, bias in biases.items() if bias is not None},
        }

    def adopt(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take ``tensors`` (see :meth:`layout`) for the weights, before a program is recorded."""
        self.matrices = {
            name: matrix.holding(tensors[f"matrices/{name}"], tensors.get(f"biases/{name}"))
            for name, matrix in self.matrices.items()
        }
        self.norms = {name: tensors[f"norms/{name}"] for name in self._norm_shapes}

    @property
    def num_bytes(self) -> int:
        """Memory of all of them."""
        matrices = sum(matrix.num_bytes for matrix in self.matrices.values())
        return matrices + sum(norm.nbytes for norm in self.norms.values())


def matrix_shapes(spec: DecoderSpec, share: ModelShare | None = None) -> dict[str, MatrixShape]:
    """All matrices of a model, or of a rank's share of it, by name.

    Bias of a product that is split along its inputs: the first rank's.
    """
    share = share or ModelShare()
    tp, mlp, hidden, dim = share.tp, share.mlp, spec.hidden_size, spec.head_dim
    shapes = {}
    vocab = MatrixShape(tp.padded_split(spec.vocab_size), hidden)
    if share.is_first_stage or (share.is_last_stage and spec.tie_word_embeddings):
        shapes["embed_tokens"] = vocab
    if share.is_last_stage and not spec.tie_word_embeddings:
        shapes["lm_head"] = vocab
    q_size = tp.split(spec.num_attention_heads, "num_attention_heads") * dim
    qkv_size = q_size + 2 * tp.kv_heads(spec.num_kv_heads)[1] * dim
    ffn = mlp.padded_split(spec.intermediate_size)
    o_bias, down_bias = spec.o_bias and tp.rank == 0, spec.mlp_bias and mlp.rank == 0
    for index in share.layers or range(spec.num_layers):
        layer = f"layers.{index}"
        shapes |= {
            f"{layer}.attention.qkv": MatrixShape(qkv_size, hidden, spec.qkv_bias),
            f"{layer}.attention.output": MatrixShape(hidden, q_size, o_bias),
            f"{layer}.mlp.gate_up": MatrixShape(2 * ffn, hidden, spec.mlp_bias, is_gated=True),
            f"{layer}.mlp.down": MatrixShape(hidden, ffn, down_bias),
        }
    return shapes


def quantized_bytes(
    spec: DecoderSpec, quantization: Quantization, share: ModelShare | None = None
) -> int:
    """Memory of all weights of a share, None: the model, when they are quantised; norms and biases
    are float32."""
    share = share or ModelShare()
    shapes = matrix_shapes(spec, share)
    num_others = sum(math.prod(shape) for shape in _norm_shapes(spec, share, shapes).values())
    total = 0
    for name, shape in shapes.items():
        total += quantization.format_of(name).num_bytes(shape.num_panels, shape.inputs)
        num_others += shape.outputs * shape.bias
    return total + num_others * torch.float32.itemsize


def _empty_matrix(shape: MatrixShape, dtype: torch.dtype) -> Matrix:
    return Matrix.empty(
        shape.outputs, shape.inputs, dtype, bias=shape.bias, is_gated=shape.is_gated
    )


def _norm_shapes(
    spec: DecoderSpec, share: ModelShare, matrices: Mapping[str, MatrixShape]
) -> dict[str, tuple[int, ...]]:
    """What is no matrix and no bias of one."""
    targets = weight_map(spec, share).values()
    shapes = {target.parameter.rsplit(".", 1)[0]: target.shape for target in targets}
    return {name: shape for name, shape in shapes.items() if name not in matrices}
