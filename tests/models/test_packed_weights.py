"""Every element of every matrix is in its place, gate beside up, biases in the panels' order."""

from __future__ import annotations

import pytest
import torch

from sglite.distributed.layout import RankLayout
from sglite.kernels.cpu import instruction_sets
from sglite.models.layers.parallel import ModelShare
from sglite.models.packed_weights import PANEL, Matrix, PackedWeights, quantized_bytes
from sglite.models.quantization import Quantization
from sglite.models.registry import spec_from_hf
from sglite.models.spec import DecoderSpec
from sglite.models.weight_map import weight_map
from tests.kernels.cpu.kernels import extension
from tests.models.configs import make_hf_config

_cpu = extension()

BIASED = spec_from_hf(make_hf_config(attention_bias=True, mlp_bias=True))
QWEN3 = spec_from_hf(make_hf_config("Qwen3ForCausalLM", head_dim=16))


def unpacked(matrix: Matrix) -> torch.Tensor:
    """All rows in the order of the checkpoint, ``[outputs, inputs]``."""
    parts = 2 if matrix.is_gated else 1
    per_part = matrix.outputs // parts
    rows = [
        (index // PANEL * parts + part) * PANEL + index % PANEL
        for part in range(parts)
        for index in range(per_part)
    ]
    found = torch.zeros(matrix.outputs, matrix.inputs)
    _cpu.unpack(matrix.packed, matrix.inputs, torch.tensor(rows), found)
    return found


def checkpoint_of(spec: DecoderSpec) -> dict[str, torch.Tensor]:
    targets = weight_map(spec)
    return {name: torch.randn(target.shape) for name, target in targets.items()}


def filled(spec: DecoderSpec, checkpoint: dict[str, torch.Tensor]) -> PackedWeights:
    weights = PackedWeights(spec, dtype=torch.float32, extension=_cpu, num_threads=2)
    for name, target in weight_map(spec).items():
        weights.write(target, checkpoint[name])
    return weights


@pytest.mark.parametrize("spec", [BIASED, QWEN3], ids=["llama", "qwen3"])
def test_fused_matrices_hold_their_parts_in_order(spec):
    checkpoint = checkpoint_of(spec)
    weights = filled(spec, checkpoint)
    prefix = "model.layers.1"
    qkv = [checkpoint[f"{prefix}.self_attn.{part}_proj.weight"] for part in "qkv"]
    gate_up = [checkpoint[f"{prefix}.mlp.{part}_proj.weight"] for part in ("gate", "up")]
    found = weights.matrices
    assert torch.equal(unpacked(found["layers.1.attention.qkv"]), torch.cat(qkv))
    assert torch.equal(unpacked(found["layers.1.mlp.gate_up"]), torch.cat(gate_up))
    down = checkpoint[f"{prefix}.mlp.down_proj.weight"]
    assert torch.equal(unpacked(found["layers.1.mlp.down"]), down)
    embedding = checkpoint["model.embed_tokens.weight"]
    assert torch.equal(unpacked(found["embed_tokens"]), embedding)
    norm = checkpoint[f"{prefix}.input_layernorm.weight"]
    assert torch.equal(weights.norms["layers.1.input_norm"], norm)


def test_biases_follow_their_panels():
    checkpoint = checkpoint_of(BIASED)
    matrix = filled(BIASED, checkpoint).matrices["layers.0.mlp.gate_up"]
    assert matrix.bias is not None
    for part, name in enumerate(("gate", "up")):
        values = checkpoint[f"model.layers.0.mlp.{name}_proj.bias"]
        panels = matrix.bias.view(-1, PANEL)[part::2].flatten()
        assert torch.equal(panels[: len(values)], values)
        assert not panels[len(values) :].any()


def test_half_precision_tensors_are_widened():
    checkpoint = checkpoint_of(QWEN3)
    halved = {name: tensor.half() for name, tensor in checkpoint.items()}
    found = unpacked(filled(QWEN3, halved).matrices["layers.0.mlp.down"])
    assert torch.equal(found, halved["model.layers.0.mlp.down_proj.weight"].float())


def test_the_size_is_that_of_the_parameters():
    weights = PackedWeights(QWEN3, dtype=torch.bfloat16, extension=_cpu, num_threads=1)
    assert weights.num_bytes >= 2 * (QWEN3.num_parameters - 40 * QWEN3.hidden_size)


def test_a_part_that_is_no_whole_panels_is_our_mistake():
    matrix = Matrix.empty(40, 8, torch.float32)
    assert matrix.panels_from(32) == (2, 1)
    with pytest.raises(AssertionError, match="whole panels"):
        matrix.panels_from(24)


@pytest.mark.parametrize("option", ["int8", "int4"])
def test_quantised_weights_have_the_size_that_was_planned(option):
    share = ModelShare.of(RankLayout(tp_size=2, pp_size=2), 3, QWEN3.num_layers)
    for spec, part in ((BIASED, None), (QWEN3, None), (QWEN3, share)):
        quantization = Quantization.of(option, 32)
        assert quantization is not None
        weights = PackedWeights(
            spec,
            dtype=torch.float32,
            extension=_cpu,
            num_threads=2,
            quantization=quantization,
            instruction_set=instruction_sets()[0],
            share=part,
        )
        for target in weight_map(spec, part).values():
            weights.write(target, torch.zeros(target.shape, dtype=torch.float16))
        planned = quantized_bytes(spec, quantization, part)
        assert planned <= weights.num_bytes <= 1.1 * planned  # biases are padded to panels
