"""Where each tensor of a Hugging Face checkpoint goes in the decoder.

The loader walks a checkpoint tensor by tensor and asks this map for the target, so that a weight
is copied once, straight into its place in a fused parameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from sglite.errors import ModelLoadError
from sglite.models.layers.parallel import ModelShare, TensorParallel
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
        target = parameter if self.put is None else parameter.narrow(*self.put)
        with torch.no_grad():
            target.copy_(self.part(tensor))

    def part(self, tensor: torch.Tensor) -> torch.Tensor:
        """What this rank reads of a tensor of ``shape``, as a view."""
        return tensor if self.take is None else tensor.narrow(*self.take)


def weight_map(spec: DecoderSpec, share: ModelShare | None = None) -> dict[str, WeightTarget]:
    """Target of every tensor that a checkpoint of ``spec`` must hold, by its Hugging Face name.

    With a ``share`` only of those that a rank with that share reads. A tied model has no
    ``lm_head.weight`` here: see :func:`is_ignored`.
    """
    share, is_tied = share or ModelShare(), spec.tie_word_embeddings
    targets = {}
    if share.is_first_stage or (share.is_last_stage and is_tied):
        targets["model.embed_tokens.weight"] = _vocab("embed_tokens.weight", spec, share.tp)
    if share.is_last_stage:
        targets["model.norm.weight"] = WeightTarget("norm.weight", (spec.hidden_size,))
        if not is_tied:
            targets["lm_head.weight"] = _vocab("lm_head.weight", spec, share.tp)
    for layer in share.layers or range(spec.num_layers):
        targets |= _layer_targets(
            spec, share, source=f"model.layers.{layer}", target=f"layers.{layer}"
        )
    return targets


def is_ignored(name: str, spec: DecoderSpec) -> bool:
    """True for a checkpoint tensor that may be there and is not needed."""
    if name == "lm_head.weight":
        return spec.tie_word_embeddings
    return name.endswith(DERIVED_SUFFIXES)


def _vocab(parameter: str, spec: DecoderSpec, tp: TensorParallel) -> WeightTarget:
    ids = tp.padded_range(spec.vocab_size)
    shape = (spec.vocab_size, spec.hidden_size)
    take, put = Span(0, ids.start, len(ids)), Span(0, 0, len(ids))
    return WeightTarget(parameter, shape, take, put)


def _layer_targets(
    spec: DecoderSpec, share: ModelShare, *, source: str, target: str
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
        spec, share.tp, source=f"{source}.self_attn", target=f"{target}.attention.qkv"
    )
    targets |= _gate_up_targets(
        spec, share.mlp, source=f"{source}.mlp", target=f"{target}.mlp.gate_up"
    )
    targets |= _row_targets(
        f"{source}.self_attn.o_proj",
        f"{target}.attention.output",
        (spec.hidden_size, spec.num_attention_heads * spec.head_dim),
        tp=share.tp,
        bias=spec.o_bias,
    )
    targets |= _row_targets(
        f"{source}.mlp.down_proj",
        f"{target}.mlp.down",
        (spec.hidden_size, spec.intermediate_size),
        tp=share.mlp,
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
    count, rows = tp.padded_split(spec.intermediate_size), tp.padded_range(spec.intermediate_size)
    shape = (spec.intermediate_size, spec.hidden_size)
    targets: dict[str, WeightTarget] = {}
    for index, part in enumerate(("gate_proj", "up_proj")):
        take = Span(0, rows.start, len(rows))
        put = Span(0, index * count, len(rows))
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
    source: str, target: str, shape: tuple[int, int], *, tp: TensorParallel, bias: bool
) -> dict[str, WeightTarget]:
    """A linear split along its input: each rank has some columns and the whole bias."""
    columns = tp.padded_range(shape[1])
    take, put = Span(1, columns.start, len(columns)), Span(1, 0, len(columns))
    targets = {f"{source}.weight": WeightTarget(f"{target}.weight", shape, take, put)}
    if bias:
        targets[f"{source}.bias"] = WeightTarget(f"{target}.bias", shape[:1])
    return targets
