"""Every checkpoint tensor has its place, on one rank and on several."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sglite.distributed.layout import RankLayout
from sglite.errors import ConfigError, ModelLoadError
from sglite.models.decoder import Decoder
from sglite.models.layers.parallel import ModelShare
from sglite.models.registry import spec_from_hf
from sglite.models.spec import DecoderSpec
from sglite.models.weight_map import Span, WeightTarget, is_ignored, weight_map
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


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    "layout", [RankLayout(2), RankLayout(4), RankLayout(1, 3), RankLayout(2, 2)], ids=str
)
def test_the_parts_of_all_ranks_are_the_whole(layout, tied):
    """Each element is read once; by all ranks of a stage where it is replicated."""
    config = make_hf_config(mlp_bias=True, vocab_size=259, intermediate_size=90)
    spec = replace(spec_from_hf(config), tie_word_embeddings=tied)
    readers = {name: torch.zeros(target.shape) for name, target in weight_map(spec).items()}
    for rank in range(layout.num_ranks):
        share = ModelShare.of(layout, rank, spec.num_layers)
        for name, target in weight_map(spec, share).items():
            assert target.shape == readers[name].shape
            target.part(readers[name]).add_(1)
    for name, counts in readers.items():
        is_kv = "k_proj" in name or "v_proj" in name
        expected = 1
        if "norm" in name or name.endswith("down_proj.bias"):
            expected = layout.tp_size
        elif is_kv and layout.tp_size > spec.num_kv_heads:
            expected = layout.tp_size // spec.num_kv_heads
        elif "embed" in name and tied and layout.pp_size > 1:
            expected = 2
        assert (counts == expected).all(), name


def test_lanes_read_whole_attention_and_parts_of_the_mlps():
    lane = weight_map(SPEC, ModelShare.of(RankLayout(2, num_lanes=2), 1, 4))

    assert lane[f"{PREFIX}.q_proj.weight"] == weight_map(SPEC)[f"{PREFIX}.q_proj.weight"]
    assert lane["model.layers.2.mlp.up_proj.weight"].take == Span(0, 48, 48)


def test_padding_is_zero_in_memory_that_was_not():
    config = make_hf_config(mlp_bias=True, vocab_size=7, intermediate_size=5)
    spec, tensors = spec_from_hf(config), []
    for rank in range(4):
        decoder = Decoder(spec, share=split(rank, 4))
        for name, target in decoder.load_plan().items():
            decoder.write(name, target, torch.ones(target.shape))
        tensors.append((decoder.embed_tokens.weight, decoder.blocks()[0].mlp))

    assert [weight[:, 0].tolist() for weight, _ in tensors] == [[1, 1]] * 3 + [[1, 0]]
    gate_up = [mlp.gate_up.bias.tolist() for _, mlp in tensors]
    assert gate_up == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert [mlp.down.weight[0].tolist() for _, mlp in tensors][2:] == [[1, 0], [0, 0]]
    assert all(mlp.down.bias.tolist() == [1] * 64 for _, mlp in tensors)


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
