"""Where each tensor of a Hugging Face checkpoint goes in the decoder.

The loader walks a checkpoint tensor by tensor and asks this map for the target, so that a weight
is copied once, straight into its place in a fused parameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from sglite.errors import ModelLoadError
from sglite.models.layers.parallel import TensorParallel
from sglite.models.spec import DecoderSpec

# Buffers that older checkpoints carry and that follow from the config.
DERIVED_SUFFIXES = (".rotary_emb.inv_freq", ".masked_bias", ".attn.bias")


class Span(NamedTuple):
    """``length`` rows from ``start`` on, along dimension ``dim``."""

    dim: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class WeightTarget:
    """One checkpoint tensor's place.

    ``parameter`` is a name in ``Decoder.named_parameters()``; ``shape`` is the tensor's full shape
    in the checkpoint; ``take`` is what this rank reads of it (None: all) and ``put`` where that
    goes in the parameter (None: all of it).
    """

    parameter: str
    shape: tuple[int, ...]
    take: Span | None = None
    put: Span | None = None

    def check_shape(self, name: str, tensor: torch.Tensor) -> None:
        """ModelLoadError where the shape of checkpoint tensor ``name`` is not ``shape``."""
        if tuple(tensor.shape) != self.shape:
            raise ModelLoadError(
                f"tensor {name!r} has shape {list(tensor.shape)},"
                f" the config says {list(self.shape)}"
            )

    def copy(self, tensor: torch.Tensor, parameter: torch.Tensor) -> None:
        """Copy a tensor of ``shape`` into ``parameter``, converting its dtype."""
        source = tensor if self.take is None else tensor.narrow(*self.take)
        target = parameter if self.put is None else parameter.narrow(*self.put)
        with torch.no_grad():
            target.copy_(source)


def weight_map(spec: DecoderSpec, tp: TensorParallel) -> dict[str, WeightTarget]:
    """Target of every tensor that a checkpoint of ``spec`` must hold, by its Hugging Face name.

    A tied model has no ``lm_head.weight`` here: see :func:`is_ignored`.
    """
    targets = {
        "model.embed_tokens.weight": _vocab("embed_tokens.weight", spec, tp),
        "model.norm.weight": WeightTarget("norm.weight", (spec.hidden_size,)),
    }
    if not spec.tie_word_embeddings:
        targets["lm_head.weight"] = _vocab("lm_head.weight", spec, tp)
    for layer in range(spec.num_layers):
        targets |= _layer_targets(
            spec, tp, source=f"model.layers.{layer}", target=f"layers.{layer}"
        )
    return targets


def is_ignored(name: str, spec: DecoderSpec) -> bool:
    """True for a checkpoint tensor that may be there and is not needed."""
    if name == "lm_head.weight":
        return spec.tie_word_embeddings
    return name.endswith(DERIVED_SUFFIXES)


def _vocab(parameter: str, spec: DecoderSpec, tp: TensorParallel) -> WeightTarget:
    count = tp.split(spec.vocab_size, "vocab_size")
    shape = (spec.vocab_size, spec.hidden_size)
    return WeightTarget(parameter, shape, take=Span(0, tp.rank * count, count))


def _layer_targets(
    spec: DecoderSpec, tp: TensorParallel, *, source: str, target: str
) -> dict[str, WeightTarget]:
    hidden = (spec.hidden_size,)
    targets = {
        f"{source}.input_layernorm.weight": WeightTarget(f"{target}.input_norm.weight", hidden),
        f"{source}.post_attention_layernorm.weight": WeightTarget(
            f"{target}.mlp_norm.weight", hidden
        ),
    }
    if spec.qk_norm:
        head = (spec.head_dim,)
        for which in ("q_norm", "k_norm"):
            name = f"{source}.self_attn.{which}.weight"
            targets[name] = WeightTarget(f"{target}.attention.{which}.weight", head)
    targets |= _qkv_targets(
        spec, tp, source=f"{source}.self_attn", target=f"{target}.attention.qkv"
    )
    targets |= _gate_up_targets(spec, tp, source=f"{source}.mlp", target=f"{target}.mlp.gate_up")
    targets |= _row_targets(
        f"{source}.self_attn.o_proj",
        f"{target}.attention.output",
        in_size=spec.num_attention_heads * spec.head_dim,
        spec=spec,
        tp=tp,
        bias=spec.o_bias,
    )
    targets |= _row_targets(
        f"{source}.mlp.down_proj",
        f"{target}.mlp.down",
        in_size=spec.intermediate_size,
        spec=spec,
        tp=tp,
        bias=spec.mlp_bias,
    )
    return targets


def _qkv_targets(
    spec: DecoderSpec, tp: TensorParallel, *, source: str, target: str
) -> dict[str, WeightTarget]:
    """Rows of q, k and v in the fused parameter: this rank's query heads, then its KV heads."""
    dim = spec.head_dim
    num_q = tp.split(spec.num_attention_heads, "num_attention_heads")
    first_kv, num_kv = tp.kv_heads(spec.num_kv_heads)
    parts = {
        "q_proj": (spec.num_attention_heads, tp.rank * num_q, num_q, 0),
        "k_proj": (spec.num_kv_heads, first_kv, num_kv, num_q),
        "v_proj": (spec.num_kv_heads, first_kv, num_kv, num_q + num_kv),
    }
    targets: dict[str, WeightTarget] = {}
    for part, (total, first, count, offset) in parts.items():
        take = Span(0, first * dim, count * dim)
        put = Span(0, offset * dim, count * dim)
        rows = total * dim
        targets |= _column_part(
            f"{source}.{part}", target, (rows, spec.hidden_size), take, put, bias=spec.qkv_bias
        )
    return targets


def _gate_up_targets(
    spec: DecoderSpec, tp: TensorParallel, *, source: str, target: str
) -> dict[str, WeightTarget]:
    """Rows of gate and up in the fused parameter, gate first."""
    count = tp.split(spec.intermediate_size, "intermediate_size")
    shape = (spec.intermediate_size, spec.hidden_size)
    targets: dict[str, WeightTarget] = {}
    for index, part in enumerate(("gate_proj", "up_proj")):
        take = Span(0, tp.rank * count, count)
        put = Span(0, index * count, count)
        targets |= _column_part(f"{source}.{part}", target, shape, take, put, bias=spec.mlp_bias)
    return targets


def _column_part(
    source: str, target: str, shape: tuple[int, int], take: Span, put: Span, *, bias: bool
) -> dict[str, WeightTarget]:
    targets = {f"{source}.weight": WeightTarget(f"{target}.weight", shape, take, put)}
    if bias:
        targets[f"{source}.bias"] = WeightTarget(f"{target}.bias", shape[:1], take, put)
    return targets


def _row_targets(
    source: str, target: str, *, in_size: int, spec: DecoderSpec, tp: TensorParallel, bias: bool
) -> dict[str, WeightTarget]:
    """A linear split along its input: each rank has some columns and the whole bias."""
    count = tp.split(in_size, f"input size of {target}")
    take = Span(1, tp.rank * count, count)
    shape = (spec.hidden_size, in_size)
    targets = {f"{source}.weight": WeightTarget(f"{target}.weight", shape, take)}
    if bias:
        targets[f"{source}.bias"] = WeightTarget(f"{target}.bias", shape[:1])
    return targets
