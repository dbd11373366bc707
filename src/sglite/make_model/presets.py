"""Sizes of the checkpoints that `sglite make-model` writes: small ones, and those of real models.

A preset is a config.json without its weights' type and token ids. The keys are those of Hugging
Face, in the spelling that transformers 4 and 5 both read.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal, get_args

from sglite.errors import ConfigError

Architecture = Literal["llama", "qwen2", "qwen3", "mistral"]
RopeScaling = Literal["linear", "dynamic", "yarn", "llama3"]


def _shape(hidden: int, layers: int, heads: tuple[int, int, int], ffn: int, vocab: int) -> Any:
    """``heads`` are query heads, KV heads and head_dim."""
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "head_dim": heads[2],
        "intermediate_size": ffn,
        "vocab_size": vocab,
    }


# What a family adds to every size of it; a size overrides it.
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "max_position_embeddings": 8192,
        "attention_bias": False,
        "mlp_bias": False,
    },
    "qwen2": {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "max_position_embeddings": 32768,
        "use_sliding_window": False,
    },
    "qwen3": {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "max_position_embeddings": 40960,
        "attention_bias": False,
        "use_sliding_window": False,
    },
    "mistral": {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": 32768,
        "sliding_window": 4096,
    },
}

ANY_FAMILY: dict[str, dict[str, Any]] = {
    "tiny": _shape(256, 4, (4, 2, 64), 768, 4096),
    "small": _shape(512, 8, (8, 4, 64), 1536, 8192),
}

_LLAMA_31: dict[str, Any] = {"max_position_embeddings": 131072}
_TIED: dict[str, Any] = {"tie_word_embeddings": True}


def _llama3_rope(factor: float) -> dict[str, Any]:
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }


SIZES: dict[tuple[str, str], dict[str, Any]] = {
    ("qwen3", "0.6b"): _shape(1024, 28, (16, 8, 128), 3072, 151936) | _TIED,
    ("qwen3", "1.7b"): _shape(2048, 28, (16, 8, 128), 6144, 151936) | _TIED,
    ("qwen3", "4b"): _shape(2560, 36, (32, 8, 128), 9728, 151936) | _TIED,
    ("qwen3", "8b"): _shape(4096, 36, (32, 8, 128), 12288, 151936),
    ("qwen3", "14b"): _shape(5120, 40, (40, 8, 128), 17408, 151936),
    ("qwen3", "32b"): _shape(5120, 64, (64, 8, 128), 25600, 151936),
    ("qwen2", "0.5b"): _shape(896, 24, (14, 2, 64), 4864, 151936) | _TIED,
    ("qwen2", "1.5b"): _shape(1536, 28, (12, 2, 128), 8960, 151936) | _TIED,
    ("qwen2", "7b"): _shape(3584, 28, (28, 4, 128), 18944, 152064),
    ("llama", "1b"): _shape(2048, 16, (32, 8, 64), 8192, 128256)
    | _TIED
    | _LLAMA_31
    | {"rope_scaling": _llama3_rope(32.0)},
    ("llama", "8b"): _shape(4096, 32, (32, 8, 128), 14336, 128256)
    | _LLAMA_31
    | {"rope_scaling": _llama3_rope(8.0)},
    ("mistral", "7b"): _shape(4096, 32, (32, 8, 128), 14336, 32000),
}

# Settings that may be overridden although no preset states them.
_OPTIONAL = dict.fromkeys(
    ("rope_scaling", "attention_bias", "sliding_window", "use_sliding_window", "max_window_layers")
)


def preset_config(
    architecture: str, preset: str, overrides: Mapping[str, Any], rope_scaling: object = None
) -> dict[str, Any]:
    """config.json of a preset with ``overrides`` applied; ConfigError names what is unknown."""
    if architecture not in FAMILIES:
        raise _unknown("architecture", architecture, FAMILIES)
    sizes = {size: shape for (family, size), shape in SIZES.items() if family == architecture}
    sizes = ANY_FAMILY | sizes
    if preset not in sizes:
        raise _unknown(f"preset for {architecture}", preset, sizes)
    config: dict[str, Any] = {"tie_word_embeddings": preset in ANY_FAMILY, "hidden_act": "silu"}
    config |= FAMILIES[architecture] | sizes[preset]
    known = {**config, **_OPTIONAL}
    for key in overrides:
        if key not in known:
            raise _unknown("setting", key, known)
    config |= overrides
    if rope_scaling is not None:
        config["rope_scaling"] = rope_settings(rope_scaling, config["max_position_embeddings"])
    return config


def rope_settings(rope_scaling: object, max_position_embeddings: int) -> dict[str, Any]:
    """``rope_scaling`` of config.json: a table as it is, or a type with factor 4."""
    if isinstance(rope_scaling, dict):
        return dict(rope_scaling)
    if rope_scaling not in get_args(RopeScaling):
        raise _unknown("rope scaling", str(rope_scaling), get_args(RopeScaling))
    if rope_scaling == "llama3":
        original = max(1, max_position_embeddings // 8)
        return _llama3_rope(8.0) | {"original_max_position_embeddings": original}
    settings: dict[str, Any] = {"rope_type": rope_scaling, "factor": 4.0}
    if rope_scaling == "yarn":
        settings["original_max_position_embeddings"] = max(1, max_position_embeddings // 4)
    return settings


def _unknown(what: str, value: str, known: Any) -> ConfigError:
    near = difflib.get_close_matches(value, list(known), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "choose from " + ", ".join(known)
    return ConfigError(f"unknown {what} {value!r}; {hint}")
