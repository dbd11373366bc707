"""config.json contents for tests: small, complete, changed by keyword."""

from __future__ import annotations

from typing import Any

from sglite.models.hf_config import HFConfig

SMALL: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 256,
}


def make_hf_config(architecture: str = "LlamaForCausalLM", **changes: Any) -> HFConfig:
    """A small config; a change to ``...`` removes the key."""
    raw = SMALL | {"architectures": [architecture]} | changes
    return HFConfig.from_dict({key: value for key, value in raw.items() if value is not ...})
