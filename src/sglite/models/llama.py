"""Llama 2 and 3, and the part of a config that all families share."""

from __future__ import annotations

from typing import cast

from sglite.errors import ModelLoadError
from sglite.models.hf_config import HFConfig
from sglite.models.registry import register
from sglite.models.rope_config import context_length, rope_from_hf
from sglite.models.spec import ACTIVATIONS, Activation, DecoderSpec


@register("LlamaForCausalLM")
def llama(hf: HFConfig) -> DecoderSpec:
    """Llama: biases as the config says, full attention."""
    bias = hf.get("attention_bias", False)
    return decoder_spec(hf, qkv_bias=bias, o_bias=bias, mlp_bias=hf.get("mlp_bias", False))


def decoder_spec(
    hf: HFConfig,
    *,
    head_dim: int | None = None,
    windows: tuple[int | None, ...] | None = None,
    qk_norm: bool = False,
    qkv_bias: bool = False,
    o_bias: bool = False,
    mlp_bias: bool = False,
) -> DecoderSpec:
    """The spec that the shared keys describe. ``head_dim`` None: as in the config; ``windows``
    None: no layer has one. Raises ModelLoadError for a missing or unsupported value.
    """
    num_layers = hf.require("num_hidden_layers", int)
    num_heads = hf.require("num_attention_heads", int)
    head_dim = head_dim or hf.head_dim
    rope = rope_from_hf(hf)
    return DecoderSpec(
        architecture=hf.architecture,
        vocab_size=hf.require("vocab_size", int),
        hidden_size=hf.require("hidden_size", int),
        num_layers=num_layers,
        num_attention_heads=num_heads,
        num_kv_heads=hf.get("num_key_value_heads", num_heads),
        head_dim=head_dim,
        intermediate_size=hf.require("intermediate_size", int),
        rms_norm_eps=hf.require("rms_norm_eps", float),
        rope=rope,
        context_length=context_length(hf, rope),
        attention_scale=head_dim**-0.5,
        sliding_windows=windows or (None,) * num_layers,
        qk_norm=qk_norm,
        qkv_bias=qkv_bias,
        o_bias=o_bias,
        mlp_bias=mlp_bias,
        activation=_activation(hf),
        tie_word_embeddings=hf.get("tie_word_embeddings", False),
    )


def _activation(hf: HFConfig) -> Activation:
    name = hf.get("hidden_act", "silu")
    if name not in ACTIVATIONS:
        raise ModelLoadError(
            f"hidden_act {name!r} is not supported; supported are {', '.join(ACTIVATIONS)}"
        )
    return cast(Activation, name)
