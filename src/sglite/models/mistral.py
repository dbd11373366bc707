"""Mistral: Llama without biases, every layer with the same sliding window."""

from __future__ import annotations

from sglite.models.hf_config import HFConfig
from sglite.models.llama import decoder_spec
from sglite.models.registry import register
from sglite.models.spec import DecoderSpec


@register("MistralForCausalLM")
def mistral(hf: HFConfig) -> DecoderSpec:
    """Mistral. As in transformers, an absent ``sliding_window`` is 4,096 and null is none."""
    is_null = "sliding_window" in hf.raw and hf.raw["sliding_window"] is None
    window = None if is_null else hf.get("sliding_window", 4096)
    return decoder_spec(hf, windows=(window,) * hf.require("num_hidden_layers", int))
