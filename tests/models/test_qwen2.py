"""Qwen2's biases, and which of its layers have a window."""

from __future__ import annotations

import pytest

from sglite.errors import ModelLoadError
from sglite.models.qwen2 import qwen2
from sglite.models.qwen3 import qwen3
from tests.models.configs import make_hf_config

WINDOW = {"use_sliding_window": True, "sliding_window": 16}
FULL, SLIDING = "full_attention", "sliding_attention"


def windows(**changes):
    return qwen2(make_hf_config("Qwen2ForCausalLM", **changes)).sliding_windows


def test_q_k_and_v_always_have_biases_and_the_output_never_has():
    spec = qwen2(make_hf_config("Qwen2ForCausalLM", attention_bias=False))

    assert (spec.qkv_bias, spec.o_bias, spec.mlp_bias, spec.qk_norm) == (True, False, False, False)


def test_a_window_counts_only_where_it_is_switched_on():
    assert windows(sliding_window=16, max_window_layers=0) == (None,) * 4


def test_layers_from_max_window_layers_on_have_the_window():
    assert windows(**WINDOW, max_window_layers=1) == (None, 16, 16, 16)
    assert windows(**WINDOW) == (None,) * 4


def test_layer_types_win_over_max_window_layers():
    layer_types = [SLIDING, FULL, FULL, SLIDING]

    assert windows(**WINDOW, max_window_layers=0, layer_types=layer_types) == (16, None, None, 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer_types": [SLIDING] * 4}, "use_sliding_window is false"),
        ({**WINDOW, "layer_types": [FULL]}, "layer_types is .* expected a list of 4 names"),
        ({**WINDOW, "layer_types": ["chunked"] * 4}, "layer type 'chunked' is not supported"),
    ],
)
def test_bad_layer_types_are_refused_by_name(changes, message):
    with pytest.raises(ModelLoadError, match=message):
        windows(**changes)


def test_qwen3_normalises_q_and_k_and_has_heads_of_128_unless_stated():
    spec = qwen3(make_hf_config("Qwen3ForCausalLM", **WINDOW, max_window_layers=3))

    assert (spec.qk_norm, spec.qkv_bias, spec.head_dim) == (True, False, 128)
    assert spec.sliding_windows == (None, None, None, 16)
    biased = qwen3(make_hf_config("Qwen3ForCausalLM", attention_bias=True, head_dim=32))
    assert (biased.qkv_bias, biased.o_bias, biased.head_dim) == (True, True, 32)
