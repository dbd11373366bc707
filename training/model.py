"""The model's shape, and the directory that transformers and sglite load it from."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from training.tokenizer import END_OF_TEXT, SPECIAL_TOKENS, TURN_END, VOCAB_SIZE

if TYPE_CHECKING:
    from transformers import Qwen3ForCausalLM

CONTEXT_LENGTH = 2048


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a Qwen3 model with tied embeddings; the defaults give about 2 million parameters."""

    vocab_size: int = VOCAB_SIZE
    hidden_size: int = 192
    intermediate_size: int = 512
    num_layers: int = 4
    num_heads: int = 4
    num_kv_heads: int = 2
    head_dim: int = 64

    def hf_config(self) -> dict[str, Any]:
        """The contents of config.json."""
        return {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "max_position_embeddings": CONTEXT_LENGTH,
            "initializer_range": 0.02,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "rope_scaling": None,
            "attention_bias": False,
            "attention_dropout": 0.0,
            "use_sliding_window": False,
            "tie_word_embeddings": True,
            "use_cache": True,
            "bos_token_id": None,
            "eos_token_id": SPECIAL_TOKENS.index(TURN_END),
            "pad_token_id": SPECIAL_TOKENS.index(END_OF_TEXT),
            "torch_dtype": "bfloat16",
        }


GENERATION_CONFIG = {
    "do_sample": False,
    "eos_token_id": [SPECIAL_TOKENS.index(TURN_END), SPECIAL_TOKENS.index(END_OF_TEXT)],
    "pad_token_id": SPECIAL_TOKENS.index(END_OF_TEXT),
}
"""Greedy, because the model has one right answer to what it knows."""


def build_model(shape: ModelShape, *, seed: int) -> Qwen3ForCausalLM:
    """A freshly initialised model in fp32, the same for the same seed."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    config = Qwen3Config(**(shape.hf_config() | {"torch_dtype": "float32"}))
    return Qwen3ForCausalLM(config)


def export_model(model: torch.nn.Module, shape: ModelShape, directory: Path) -> int:
    """Writes config, generation config and bf16 weights; returns the size of the weights in bytes.

    The weights are written beside their place and moved, so that a reader never sees half a file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _write_json(directory / "config.json", shape.hf_config())
    _write_json(directory / "generation_config.json", GENERATION_CONFIG)
    weights = {
        name: tensor.detach().to(torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }
    path = directory / "model.safetensors"
    unfinished = directory / "model.safetensors.part"
    save_file(weights, str(unfinished), metadata={"format": "pt"})
    unfinished.chmod(0o644)
    os.replace(unfinished, path)
    return path.stat().st_size


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
