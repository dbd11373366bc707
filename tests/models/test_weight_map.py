"""Every checkpoint tensor has its place, on one rank and on several."""

from __future__ import annotations

import pytest
import torch

from sglite.distributed.layout import RankLayout
from sglite.errors import ConfigError, ModelLoadError
from sglite.models.decoder import Decoder
from sglite.models.layers.parallel import ModelShare
from sglite.models.registry import spec_from_hf
from sglite.models.spec import DecoderSpec
from sglite.models.weight_map import WeightTarget, is_ignored, weight_map
from tests.models.configs import make_hf_config

SPEC = spec_from_hf(make_hf_config(attention_bias=True, mlp_bias=True))
QWEN3 = spec_from_hf(make_hf_config("Qwen3ForCausalLM", head_dim=8))
PREFIX = "model.layers.2.self_attn"


def split(rank: int, size: int) -> ModelShare:
    """The share of one of ``size`` ranks, which are all of one stage."""
    return ModelShare.of(RankLayout(size), rank, 4)


def filled(spec: DecoderSpec, share: ModelShare, checkpoint: dict[str, torch.Tensor]) -> Decoder:
    """A decoder whose every element is NaN unless the map fills it, or it is padding."""
    decoder = Decoder(spec, share=share)
    for parameter in decoder.parameters():
        parameter.fill_(torch.nan)
    for name, target in decoder.load_plan().items():
        decoder.write(name, target, checkpoint[name])
    return decoder


def random_checkpoint(spec: DecoderSpec) -> dict[str, torch.Tensor]:
    targets = weight_map(spec)
    return {name: torch.randn(target.shape) for name, target in targets.items()}


@pytest.mark.parametrize("spec", [SPEC, QWEN3], ids=["llama", "qwen3"])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_every_element_of_every_parameter_is_filled(spec, size):
    checkpoint = random_checkpoint(spec)
    for rank in range(size):
        decoder = filled(spec, split(rank, size), checkpoint)
        for name, parameter in decoder.named_parameters():
            assert not parameter.isnan().any(), f"{name} of rank {rank} is not filled"


def test_the_names_are_those_of_hugging_face():
    names = set(weight_map(QWEN3))

    assert {
        "model.embed_tokens.weight",
        "model.norm.weight",
        "lm_head.weight",
        f"{PREFIX}.q_proj.weight",
        f"{PREFIX}.k_norm.weight",
        "model.layers.3.mlp.down_proj.weight",
        "model.layers.0.post_attention_layernorm.weight",
    } <= names
    assert len(names) == 3 + 4 * (2 + 4 + 2 + 3)


def test_two_ranks_hold_the_halves_of_each_fused_part():
    checkpoint = random_checkpoint(SPEC)
    ranks = [filled(SPEC, split(rank, 2), checkpoint) for rank in range(2)]
    qkv = [rank.blocks()[2].attention.qkv for rank in ranks]

    # 8 query heads and 2 KV heads of 8: a rank has 32 rows of q, 8 of k, 8 of v.
    assert [tuple(linear.weight.shape) for linear in qkv] == [(48, 64)] * 2
    for part, rows in {"q": slice(0, 32), "k": slice(32, 40), "v": slice(40, 48)}.items():
        weight = torch.cat([linear.weight[rows] for linear in qkv])
        bias = torch.cat([linear.bias[rows] for linear in qkv])
        assert torch.equal(weight, checkpoint[f"{PREFIX}.{part}_proj.weight"])
        assert torch.equal(bias, checkpoint[f"{PREFIX}.{part}_proj.bias"])
    output = torch.cat([rank.blocks()[2].attention.output.weight for rank in ranks], dim=1)
    assert torch.equal(output, checkpoint[f"{PREFIX}.o_proj.weight"])
    embedding = torch.cat([rank.embed_tokens.weight for rank in ranks])
    assert torch.equal(embedding, checkpoint["model.embed_tokens.weight"])


def test_with_more_ranks_than_kv_heads_neighbours_hold_the_same_head():
    checkpoint = random_checkpoint(SPEC)
    ranks = [filled(SPEC, split(rank, 4), checkpoint) for rank in range(4)]
    keys = [rank.blocks()[0].attention.qkv.weight[16:24] for rank in ranks]
    full = checkpoint["model.layers.0.self_attn.k_proj.weight"]

    assert all(torch.equal(key, full[(rank // 2) * 8 :][:8]) for rank, key in enumerate(keys))
    assert [rank.num_kv_heads for rank in ranks] == [1] * 4


def test_an_uneven_split_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"tp_size 3 does not divide num_attention_heads \(8\)"):
        weight_map(SPEC, split(0, 3))


def test_a_wrong_shape_is_refused_by_name_before_anything_is_written():
    decoder = Decoder(SPEC)
    decoder.norm.weight.zero_()
    target = WeightTarget("norm.weight", (4, 2))

    with pytest.raises(ModelLoadError, match=r"'a.b' has shape \[2, 4\], the config says \[4, 2\]"):
        decoder.write("a.b", target, torch.ones(2, 4))
    assert not decoder.norm.weight.any()


def test_copying_converts_the_dtype():
    parameter = torch.zeros(3)
    WeightTarget("norm.weight", (3,)).copy(torch.ones(3, dtype=torch.bfloat16), parameter)

    assert parameter.tolist() == [1, 1, 1]


def test_a_tied_model_has_no_head_of_its_own_and_ignores_one_in_the_checkpoint():
    tied = spec_from_hf(make_hf_config(tie_word_embeddings=True))

    assert "lm_head.weight" not in weight_map(tied)
    assert is_ignored("lm_head.weight", tied)
    assert not is_ignored("lm_head.weight", SPEC)


def test_derived_buffers_are_ignored_and_weights_are_not():
    assert is_ignored("model.layers.0.self_attn.rotary_emb.inv_freq", SPEC)
    assert not is_ignored("model.layers.0.self_attn.q_proj.weight", SPEC)
