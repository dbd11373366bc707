"""Qwen3: Llama with RMS-normalised q and k heads and Qwen2's sliding windows."""

from __future__ import annotations

from sglite.models.hf_config import HFConfig
from sglite.models.llama import decoder_spec
from sglite.models.qwen2 import layer_windows
from sglite.models.registry import register
from sglite.models.spec import DecoderSpec


@register("Qwen3ForCausalLM")
def qwen3(hf: HFConfig) -> DecoderSpec:
    """Qwen3. An absent ``head_dim`` is 128, not hidden_size / num_attention_heads."""
    bias = hf.get("attention_bias", False)
    return decoder_spec(
        hf,
        head_dim=hf.get("head_dim", 128),
        windows=layer_windows(hf),
        qk_norm=True,
        qkv_bias=bias,
        o_bias=bias,
    )
