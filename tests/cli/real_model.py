"""A checkpoint small enough that a command runs on the real engine within a second or two."""

from __future__ import annotations

from pathlib import Path

from sglite.make_model import make_model

SIZES = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 1024,
    "max_position_embeddings": 1024,
}


def make_tiny_model(directory: Path) -> str:
    """Write the checkpoint and return its directory."""
    return str(make_model(directory, dtype="float32", **SIZES))
