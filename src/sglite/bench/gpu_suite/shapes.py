"""Models by their sizes alone: what config.json says of them, and what a step of them costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BYTES = 2  # of a bfloat16


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A dense decoder. ``extra`` are further keys of its config.json."""

    name: str
    family: str = "qwen3"
    num_layers: int
    hidden: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    is_tied: bool
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def body_parameters(self) -> int:
        """Weights of all layers' products."""
        heads = self.num_heads + 2 * self.num_kv_heads
        qkv = self.hidden * heads * self.head_dim
        output = self.num_heads * self.head_dim * self.hidden
        return self.num_layers * (qkv + output + 3 * self.hidden * self.ffn)

    @property
    def head_parameters(self) -> int:
        """Weights of the head, which are those of the embedding where these are tied."""
        return self.hidden * self.vocab

    @property
    def num_bytes(self) -> int:
        """Of all weights in bfloat16, but for those of the norms."""
        tables = 1 if self.is_tied else 2
        return BYTES * (self.body_parameters + tables * self.head_parameters)

    @property
    def kv_bytes(self) -> int:
        """Keys and values of one token in all layers, in bfloat16."""
        return 2 * self.num_kv_heads * self.head_dim * BYTES * self.num_layers

    def attention_flop(self, num_pairs: float) -> float:
        """Operations for so many pairs of a query and a key that it sees, in all layers."""
        return 4 * num_pairs * self.num_heads * self.head_dim * self.num_layers

    def prefill_flop(self, lengths: list[int]) -> float:
        """Operations for prompts of these lengths, with one row of logits each."""
        pairs = sum(length * (length + 1) / 2 for length in lengths)
        products = 2 * self.body_parameters * sum(lengths) + 2 * self.head_parameters * len(lengths)
        return products + self.attention_flop(pairs)

    def config(self) -> dict[str, Any]:
        """What config.json holds."""
        names = {
            "llama": "LlamaForCausalLM",
            "mistral": "MistralForCausalLM",
            "qwen2": "Qwen2ForCausalLM",
            "qwen3": "Qwen3ForCausalLM",
        }
        return {
            "architectures": [names[self.family]],
            "model_type": self.family,
            "torch_dtype": "bfloat16",
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.ffn,
            "vocab_size": self.vocab,
            "tie_word_embeddings": self.is_tied,
            "max_position_embeddings": 40960,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0,
            "attention_bias": False,
            **dict(self.extra),
        }


QWEN3_06B = ModelShape(
    name="Qwen3-0.6B",
    num_layers=28,
    hidden=1024,
    num_heads=16,
    num_kv_heads=8,
    head_dim=128,
    ffn=3072,
    vocab=151936,
    is_tied=True,
)
QWEN3_14B = ModelShape(
    name="Qwen3-14B",
    num_layers=40,
    hidden=5120,
    num_heads=40,
    num_kv_heads=8,
    head_dim=128,
    ffn=17408,
    vocab=151936,
    is_tied=False,
)


def tiny(family: str, **extra: Any) -> ModelShape:
    """A model of a family that a CPU computes in milliseconds."""
    return ModelShape(
        name=f"tiny-{family}",
        family=family,
        num_layers=2,
        hidden=128,
        num_heads=4,
        num_kv_heads=2,
        head_dim=32,
        ffn=256,
        vocab=1000,
        is_tied=family != "llama",
        extra=tuple(extra.items()),
    )
