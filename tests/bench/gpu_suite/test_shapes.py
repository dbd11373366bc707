from __future__ import annotations

import pytest

from sglite.bench.gpu_suite.shapes import QWEN3_06B, QWEN3_14B, ModelShape, tiny
from sglite.models.hf_config import HFConfig
from sglite.models.registry import spec_from_hf


def spec(shape: ModelShape, tmp_path):
    return spec_from_hf(HFConfig.from_dict(shape.config(), path=tmp_path))


@pytest.mark.parametrize("shape", [QWEN3_06B, QWEN3_14B], ids=lambda shape: shape.name)
def test_sizes_are_those_of_the_model(shape, tmp_path):
    parameters = spec(shape, tmp_path).num_parameters
    assert parameters == pytest.approx(shape.num_bytes / 2, rel=2e-4)  # norms are not counted


def test_keys_and_values_of_a_token():
    assert QWEN3_06B.kv_bytes == 112 << 10
    assert QWEN3_14B.kv_bytes == 160 << 10


def test_operations_of_a_prompt():
    one = QWEN3_06B.prefill_flop([1])
    products = 2 * (QWEN3_06B.body_parameters + QWEN3_06B.head_parameters)
    assert one == products + 4 * 16 * 128 * 28
    assert QWEN3_06B.prefill_flop([1, 1]) == 2 * one


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_tiny_models_are_of_their_family(family, tmp_path):
    made = spec(tiny(family, sliding_window=8), tmp_path)
    assert made.qk_norm == (family == "qwen3")
    assert made.qkv_bias == (family == "qwen2")
    windows = {group.window for group in made.kv_groups()}
    assert windows == ({8} if family == "mistral" else {None})
