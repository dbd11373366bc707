"""The models of the parity tests: every architecture, rope scaling and shape, tiny and random."""

from __future__ import annotations

from typing import Any

import torch

VOCAB_SIZE = 256
NUM_LAYERS = 3
HIDDEN_SIZE = 64
TRAINED_LENGTH = 48
"""Shorter than the sequences, so that every scaling shows."""

# What a config can say beyond the shapes; the first entry names the architecture.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama-attention-bias": ("Llama", {"attention_bias": True}),
    "llama-mlp-bias": ("Llama", {"mlp_bias": True}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "mistral-window": ("Mistral", {"sliding_window": 21}),
    "qwen2": ("Qwen2", {}),
    "qwen2-window": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 17, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3", {}),
    "qwen3-bias-window": (
        "Qwen3",
        {
            "attention_bias": True,
            "use_sliding_window": True,
            "sliding_window": 30,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
}

ROPES: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 3.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
}

FACTORS: dict[str, list[Any]] = {
    "variant": list(VARIANTS),
    "rope": list(ROPES),
    "gqa_ratio": [1, 2, 4, 8],
    "head_dim": [64, 128],
    "tied": [False, True],
    "page_size": [1, 2, 16],
    "chunk": [None, 7],
}


def row_id(row: dict[str, Any]) -> str:
    """The test's name: the values in order of the factors."""
    tied = "tied" if row["tied"] else "untied"
    return (
        f"{row['variant']}-{row['rope']}-gqa{row['gqa_ratio']}-d{row['head_dim']}-{tied}"
        f"-page{row['page_size']}-chunk{row['chunk']}"
    )


def make_model(row: dict[str, Any], *, seed: int = 0) -> Any:
    """A transformers model in float32 with random weights, whose greedy output is varied."""
    import transformers

    family, settings = VARIANTS[row["variant"]]
    num_kv_heads = 2 if row["gqa_ratio"] < 8 else 1
    config = getattr(transformers, f"{family}Config")(
        vocab_size=VOCAB_SIZE,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=96,
        num_hidden_layers=NUM_LAYERS,
        num_attention_heads=num_kv_heads * row["gqa_ratio"],
        num_key_value_heads=num_kv_heads,
        head_dim=row["head_dim"],
        max_position_embeddings=TRAINED_LENGTH,
        rope_parameters=ROPES[row["rope"]] | {"rope_theta": 10000.0},
        tie_word_embeddings=row["tied"],
        attn_implementation="eager",
        **settings,
    )
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    fill_weights(model, seed=seed)
    return model


@torch.no_grad()
def fill_weights(model: Any, *, seed: int) -> None:
    """Random weights under which every part of the model matters to the result.

    Scores are sharp enough that positions count; blocks outweigh the embedding in the residual
    stream, else a tied model repeats its input.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("norm.weight") or "layernorm" in name:
            parameter.copy_(1 + 0.2 * noise)
        elif parameter.ndim == 1:
            parameter.copy_(0.3 * noise)
        else:
            parameter.copy_(noise * _std(name, parameter.shape[1]))


def _std(name: str, fan_in: int) -> float:
    if "embed_tokens" in name or "lm_head" in name:
        return 0.5
    gain = 5.0 if "o_proj" in name or "down_proj" in name else 3.0
    return gain / fan_in**0.5
