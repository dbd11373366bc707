"""Frequencies and angles are those of transformers, for every type of scaling."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sglite.kernels.rotary_store import Rotation
from sglite.kernels.rotary_store.reference import rotate
from sglite.models.hf_config import HFConfig
from sglite.models.layers.rotary import (
    INITIAL_TABLE_ROWS,
    RotaryEmbedding,
    dynamic_frequencies,
    inverse_frequencies,
)
from sglite.models.rope_config import rope_from_hf

MAX_POSITIONS = 128
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
STATIC: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default"},
    "large-theta": {"rope_type": "default", "rope_theta": 1e6},
    "linear": {"rope_type": "linear", "factor": 2.5},
    "yarn": YARN,
    "yarn-large": {**YARN, "original_max_position_embeddings": 4096, "rope_theta": 1e6},
    "yarn-betas": {**YARN, "beta_fast": 16, "beta_slow": 2.0},
    "yarn-betas-zero": {**YARN, "beta_fast": 0, "beta_slow": None},
    "yarn-equal-betas": {**YARN, "beta_fast": 2.0, "beta_slow": 2.0, "truncate": False},
    "yarn-not-truncated": {**YARN, "truncate": False},
    "yarn-attention-factor": {**YARN, "attention_factor": 1.25},
    "yarn-mscale": {**YARN, "mscale": 0.707, "mscale_all_dim": 1.0},
    "yarn-factor-from-lengths": {**YARN, "factor": None},
    "yarn-factor-one": {**YARN, "factor": 1.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "llama3-steep": {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 2.0,
        "high_freq_factor": 2.5,
        "original_max_position_embeddings": 8192,
        "rope_theta": 5e5,
    },
}
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0}


def their_embedding(parameters: dict[str, Any], head_dim: int) -> Any:
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = LlamaConfig(
        hidden_size=2 * head_dim,
        num_attention_heads=2,
        max_position_embeddings=MAX_POSITIONS,
        rope_parameters={"rope_theta": 10000.0} | parameters,
    )
    return LlamaRotaryEmbedding(config)


def our_spec(parameters: dict[str, Any]):
    raw = {"max_position_embeddings": MAX_POSITIONS, "rope_parameters": parameters}
    return rope_from_hf(HFConfig.from_dict(raw))


def our_embedding(
    parameters: dict[str, Any], head_dim: int, dtype: torch.dtype = torch.float32
) -> RotaryEmbedding:
    return RotaryEmbedding(our_spec(parameters), head_dim=head_dim, dtype=dtype, device="cpu")


def angles(rotation: Rotation) -> torch.Tensor:
    """Cosines and sines ``[T, 1, D]`` of a batch's tokens."""
    return rotation.cos_sin_PD[rotation.rows_T][:, None]


@pytest.mark.parametrize("head_dim", [64, 128])
@pytest.mark.parametrize("parameters", STATIC.values(), ids=STATIC)
def test_frequencies_and_attention_factor_are_those_of_transformers(parameters, head_dim):
    theirs = their_embedding(parameters, head_dim)
    spec = our_spec(parameters)

    torch.testing.assert_close(
        inverse_frequencies(spec, head_dim), theirs.inv_freq, rtol=1e-6, atol=0
    )
    assert spec.attention_factor == pytest.approx(theirs.attention_scaling, rel=1e-12)


@pytest.mark.parametrize("parameters", [STATIC["default"], YARN], ids=["default", "yarn"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_cos_and_sin_are_those_of_transformers(parameters, dtype):
    positions = torch.tensor([0, 1, 5, 77, 2 * INITIAL_TABLE_ROWS])
    cos, sin = their_embedding(parameters, 64)(torch.zeros(1, dtype=dtype), positions[None])
    rotation = our_embedding(parameters, 64, dtype)(positions, [2 * INITIAL_TABLE_ROWS + 1], [0, 5])

    for actual, expected in zip(angles(rotation).chunk(2, dim=-1), (cos, sin), strict=True):
        assert actual.dtype == dtype
        torch.testing.assert_close(actual[:, 0], expected[0, :, :32], atol=1e-3, rtol=1e-5)


def test_the_table_grows_and_keeps_its_rows():
    embedding = our_embedding({"rope_type": "default"}, 64)
    positions = torch.arange(10)
    before = angles(embedding(positions, [10], [0, 10]))
    embedding(torch.tensor([5 * INITIAL_TABLE_ROWS]), [5 * INITIAL_TABLE_ROWS + 1], [0, 1])

    after = angles(embedding(positions, [10], [0, 10]))

    assert torch.equal(before, after)


@pytest.mark.parametrize("seq_len", [1, MAX_POSITIONS, MAX_POSITIONS + 1, 1000])
def test_dynamic_frequencies_are_those_of_transformers_at_that_length(seq_len):
    theirs = their_embedding(DYNAMIC, 64)
    theirs(torch.zeros(1), torch.arange(seq_len)[None])
    ours = dynamic_frequencies(our_spec(DYNAMIC), 64, seq_len)

    torch.testing.assert_close(ours, theirs.inv_freq, rtol=2e-6, atol=0)


def test_dynamic_angles_follow_the_length_of_each_run():
    embedding = our_embedding(DYNAMIC, 64)
    positions = torch.tensor([0, 1, 2, 199, 0, 1])
    together = angles(embedding(positions, [3, 200, 300], [0, 3, 4, 6]))

    for begin, end, length in ((0, 3, 3), (3, 4, 200), (4, 6, 300)):
        alone = angles(embedding(positions[begin:end], [length], [0, end - begin]))
        assert torch.equal(together[begin:end], alone)
    short = angles(embedding(torch.tensor([1]), [MAX_POSITIONS], [0, 1]))
    assert torch.equal(together[1], short[0])
    assert not torch.equal(together[5], short[0])


def test_rotation_is_that_of_transformers():
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    q, k = torch.randn(6, 4, 64), torch.randn(6, 2, 64)
    positions = torch.arange(6)
    cos, sin = their_embedding({"rope_type": "default"}, 64)(q, positions[None])
    expected_q, expected_k = apply_rotary_pos_emb(q, k, cos[0], sin[0])
    turned_by = angles(our_embedding({"rope_type": "default"}, 64)(positions, [6], [0, 6]))

    torch.testing.assert_close(rotate(q, turned_by), expected_q)
    torch.testing.assert_close(rotate(k, turned_by), expected_k)
