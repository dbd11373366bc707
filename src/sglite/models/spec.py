"""What a decoder-only transformer is, as data.

A family file turns a checkpoint's config into one :class:`DecoderSpec`; the decoder, the weight
map, the KV pool and the memory planner read nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from sglite.kvcache.groups import KVGroup

RopeType = Literal["default", "linear", "dynamic", "yarn", "llama3"]
ROPE_TYPES: tuple[str, ...] = get_args(RopeType)

Activation = Literal["silu", "gelu", "gelu_pytorch_tanh"]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeSpec:
    """Rotary position embedding and its scaling, as in transformers' ``modeling_rope_utils``.

    ``original_context_length`` is what the model was trained on (dynamic, yarn, llama3).
    ``attention_factor`` multiplies cos and sin (yarn). ``low/high_freq_factor`` belong to llama3,
    ``beta_fast/slow`` and ``truncate`` to yarn.
    """

    rope_type: RopeType = "default"
    theta: float = 10000.0
    factor: float = 1.0
    original_context_length: int = 0
    attention_factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True

    @property
    def depends_on_length(self) -> bool:
        """True where a key's rotation depends on the sequence's length when it was computed.

        Beyond ``original_context_length`` the keys of such a model are not a function of the
        prefix alone, so sharing them between sequences changes results.
        """
        return self.rope_type == "dynamic"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderSpec:
    """One decoder-only transformer: pre-norm blocks of attention and a gated MLP.

    ``sliding_windows`` has one entry per layer: with w, position i sees keys i-w < j <= i; None is
    all of them. ``qkv_bias``, ``o_bias``, ``mlp_bias`` say which linears have a bias, ``qk_norm``
    that heads of q and k are RMS-normalised before the rotation. ``context_length`` is the most
    positions the model is good for; ``attention_scale`` multiplies q·k. ``attention_softcap`` c
    turns scores s into ``c * tanh(s / c)`` (``attn_logit_softcapping`` of Gemma 2); no family that
    is registered has one.
    """

    architecture: str
    vocab_size: int
    hidden_size: int
    num_layers: int
    num_attention_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    rms_norm_eps: float
    rope: RopeSpec
    context_length: int
    attention_scale: float
    sliding_windows: tuple[int | None, ...]
    qk_norm: bool = False
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    activation: Activation = "silu"
    attention_softcap: float | None = None
    tie_word_embeddings: bool = False

    def __post_init__(self) -> None:
        assert len(self.sliding_windows) == self.num_layers, (
            f"{len(self.sliding_windows)} windows for {self.num_layers} layers"
        )

    def kv_groups(self) -> tuple[KVGroup, ...]:
        """Layers by what they keep: those that keep all tokens first, then each window size."""
        layers_of: dict[int | None, list[int]] = {}
        for layer, window in enumerate(self.sliding_windows):
            layers_of.setdefault(window, []).append(layer)
        order = sorted(layers_of, key=lambda window: (window is not None, window or 0))
        return tuple(_kv_group(tuple(layers_of[window]), window) for window in order)

    def group_of_layer(self) -> list[int]:
        """Index into :meth:`kv_groups` for each layer."""
        group_of = [0] * self.num_layers
        for index, group in enumerate(self.kv_groups()):
            for layer in group.layers:
                group_of[layer] = index
        return group_of

    @property
    def num_parameters(self) -> int:
        """Number of weights, those of a tied head counted once."""
        qkv_size = (self.num_attention_heads + 2 * self.num_kv_heads) * self.head_dim
        out_size = self.num_attention_heads * self.head_dim
        attention = self.hidden_size * (qkv_size + out_size)
        attention += qkv_size * self.qkv_bias + self.hidden_size * self.o_bias
        attention += 2 * self.head_dim * self.qk_norm
        mlp = 3 * self.hidden_size * self.intermediate_size
        mlp += (2 * self.intermediate_size + self.hidden_size) * self.mlp_bias
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        layer = attention + mlp + 2 * self.hidden_size
        return embeddings + self.num_layers * layer + self.hidden_size


def _kv_group(layers: tuple[int, ...], window: int | None) -> KVGroup:
    return KVGroup("paged_full" if window is None else "paged_window", layers, window)
