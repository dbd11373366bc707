"""The model in plain torch, and the directory that transformers and sglite load it from.

Shapes: B rows, T tokens of a row, C hidden size, H query heads, K key-value heads, D head size.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from training.tokenizer import END_OF_TEXT, SPECIAL_TOKENS, TURN_END, VOCAB_SIZE

CONTEXT_LENGTH = 2048
NORM_EPSILON = 1e-6
ROPE_THETA = 10000.0


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a Qwen3 model with tied embeddings."""

    vocab_size: int = VOCAB_SIZE
    hidden_size: int = 192
    intermediate_size: int = 576
    num_layers: int = 5
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
            "rms_norm_eps": NORM_EPSILON,
            "rope_theta": ROPE_THETA,
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


class Norm(nn.Module):
    """RMS norm over the last dimension."""

    def __init__(self, size: int) -> None:
        """A norm that starts as the identity's scale."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., size] to the same shape."""
        return functional.rms_norm(x, (x.shape[-1],), self.weight, NORM_EPSILON)


def linear(num_inputs: int, num_outputs: int) -> nn.Linear:
    """A matrix without bias, as Qwen3 has them."""
    return nn.Linear(num_inputs, num_outputs, bias=False)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """RoPE on [B, T, heads, D] in the two-halves form; cos and sin are [B, T, 1, D]."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    """Grouped-query attention with a norm on queries and keys."""

    def __init__(self, shape: ModelShape) -> None:
        """The projections of one layer."""
        super().__init__()
        self.shape = shape
        self.q_proj = linear(shape.hidden_size, shape.num_heads * shape.head_dim)
        self.k_proj = linear(shape.hidden_size, shape.num_kv_heads * shape.head_dim)
        self.v_proj = linear(shape.hidden_size, shape.num_kv_heads * shape.head_dim)
        self.o_proj = linear(shape.num_heads * shape.head_dim, shape.hidden_size)
        self.q_norm = Norm(shape.head_dim)
        self.k_norm = Norm(shape.head_dim)

    def forward(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """[B, T, C] to [B, T, C]; `mask` is [B, 1, T, T]."""
        heads = (*x.shape[:2], -1, self.shape.head_dim)
        queries = rotate(self.q_norm(self.q_proj(x).view(heads)), cos, sin).transpose(1, 2)
        keys = rotate(self.k_norm(self.k_proj(x).view(heads)), cos, sin).transpose(1, 2)
        values = self.v_proj(x).view(heads).transpose(1, 2)
        group = self.shape.num_heads // self.shape.num_kv_heads
        mixed = functional.scaled_dot_product_attention(
            queries,
            keys.repeat_interleave(group, dim=1),
            values.repeat_interleave(group, dim=1),
            attn_mask=mask,
        )
        out: torch.Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """The gated feed-forward part of a layer."""

    def __init__(self, shape: ModelShape) -> None:
        """The three matrices."""
        super().__init__()
        self.gate_proj = linear(shape.hidden_size, shape.intermediate_size)
        self.up_proj = linear(shape.hidden_size, shape.intermediate_size)
        self.down_proj = linear(shape.intermediate_size, shape.hidden_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, C] to [B, T, C]."""
        out: torch.Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    """Attention and feed-forward, each behind a norm and beside a residual."""

    def __init__(self, shape: ModelShape) -> None:
        """One layer of the stack; the names are those of the checkpoint."""
        super().__init__()
        self.input_layernorm = Norm(shape.hidden_size)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = Norm(shape.hidden_size)
        self.mlp = Mlp(shape)

    def forward(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """[B, T, C] to [B, T, C]."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        out: torch.Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Decoder(nn.Module):
    """Embedding, layers, last norm: the `model.` part of a Qwen3 checkpoint."""

    def __init__(self, shape: ModelShape) -> None:
        """All parameters; matrices start normal with 0.02, those into the residual smaller."""
        super().__init__()
        self.head_dim = shape.head_dim
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_layers))
        self.norm = Norm(shape.hidden_size)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                scale = (2 * shape.num_layers) ** -0.5 if into_residual else 1.0
                nn.init.normal_(parameter, std=0.02 * scale)

    def forward(
        self, token_ids: torch.Tensor, position_ids: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Hidden states [B, T, C] for ids and positions [B, T] and a mask [B, 1, T, T]."""
        exponents = torch.arange(0, self.head_dim, 2, device=token_ids.device) / self.head_dim
        angles = position_ids[..., None] * ROPE_THETA**-exponents
        angles = torch.cat((angles, angles), dim=-1)[:, :, None]
        cos, sin = angles.cos(), angles.sin()
        x: torch.Tensor = self.embed_tokens(token_ids)
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        out: torch.Tensor = self.norm(x)
        return out


class Qwen3(nn.Module):
    """The language model; its parameters bear the names of a Hugging Face checkpoint."""

    def __init__(self, shape: ModelShape) -> None:
        """A freshly initialised model in fp32."""
        super().__init__()
        self.model = Decoder(shape)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[N, C] to [N, vocabulary], by the tied embedding."""
        return hidden @ self.model.embed_tokens.weight.t()


def build_model(shape: ModelShape, *, seed: int) -> Qwen3:
    """A freshly initialised model in fp32, the same for the same seed."""
    torch.manual_seed(seed)
    return Qwen3(shape)


def load_model(directory: Path, shape: ModelShape) -> Qwen3:
    """An exported model, in fp32, to be trained further."""
    model = Qwen3(shape)
    weights = load_file(str(directory / "model.safetensors"))
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return model


def export_model(model: nn.Module, shape: ModelShape, directory: Path) -> int:
    """Writes config, generation config and bf16 weights; returns the size of the weights in bytes.

    The weights are written beside their place and moved, so that a reader never sees half a file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _write_json(directory / "config.json", shape.hf_config())
    _write_json(directory / "generation_config.json", GENERATION_CONFIG)
    weights = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
    }
    path = directory / "model.safetensors"
    unfinished = directory / "model.safetensors.part"
    save_file(weights, str(unfinished), metadata={"format": "pt"})
    unfinished.chmod(0o644)
    os.replace(unfinished, path)
    return path.stat().st_size


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
