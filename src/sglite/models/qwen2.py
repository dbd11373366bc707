"""Qwen2 and Qwen2.5: biases on q, k and v; a sliding window on the upper layers if asked for."""

from __future__ import annotations

from sglite.errors import ModelLoadError
from sglite.models.hf_config import HFConfig
from sglite.models.llama import decoder_spec
from sglite.models.registry import register
from sglite.models.spec import DecoderSpec


@register("Qwen2ForCausalLM")
def qwen2(hf: HFConfig) -> DecoderSpec:
    """Qwen2: q, k and v always have biases, whatever the config says."""
    return decoder_spec(hf, qkv_bias=True, windows=layer_windows(hf))


def layer_windows(hf: HFConfig) -> tuple[int | None, ...]:
    """Each layer's window: from ``layer_types``, else for layers from ``max_window_layers`` on.

    ``sliding_window`` counts only where ``use_sliding_window`` is true.
    """
    window = hf.get("sliding_window", 4096) if hf.get("use_sliding_window", False) else None
    num_layers = hf.require("num_hidden_layers", int)
    layer_types = hf.get("layer_types", None)
    if layer_types is None:
        first = hf.get("max_window_layers", 28)
        return tuple(window if layer >= first else None for layer in range(num_layers))
    if not isinstance(layer_types, list) or len(layer_types) != num_layers:
        raise hf.error("layer_types", f"a list of {num_layers} names")
    return tuple(_window_of(name, window) for name in layer_types)


def _window_of(layer_type: object, window: int | None) -> int | None:
    if layer_type == "full_attention":
        return None
    if layer_type != "sliding_attention":
        raise ModelLoadError(
            f"layer type {layer_type!r} is not supported; supported are"
            " full_attention, sliding_attention"
        )
    if window is None:
        raise ModelLoadError(
            "layer_types names sliding_attention, but use_sliding_window is false or"
            " sliding_window is missing"
        )
    return window
