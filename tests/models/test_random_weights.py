import pytest
import torch

from sglite.models.random_weights import QUIET_ROW_SCALE, random_weight

SHAPE = (300, 64)


def test_same_name_and_seed_give_the_same_values():
    first = random_weight("model.layers.0.mlp.up_proj.weight", SHAPE, seed=1)
    assert torch.equal(first, random_weight("model.layers.0.mlp.up_proj.weight", SHAPE, seed=1))
    assert not torch.equal(first, random_weight("model.layers.0.mlp.up_proj.weight", SHAPE, seed=2))
    assert not torch.equal(first, random_weight("model.layers.1.mlp.up_proj.weight", SHAPE, seed=1))


def test_the_type_only_rounds():
    name = "model.layers.0.mlp.up_proj.weight"
    exact = random_weight(name, SHAPE)
    assert torch.equal(random_weight(name, SHAPE, dtype=torch.bfloat16), exact.bfloat16())


@pytest.mark.parametrize(
    ("name", "shape", "rms"),
    [
        ("model.layers.0.mlp.down_proj.weight", (64, 400), 0.05),
        ("model.layers.0.self_attn.q_proj.weight", (64, 400), 0.15),
        ("lm_head.weight", (64, 400), 0.15),
        ("model.layers.0.self_attn.q_proj.bias", (4000,), 0.1),
        ("model.layers.0.input_layernorm.weight", (4000,), 1.0),
        ("model.layers.0.self_attn.q_norm.weight", (4000,), 3.0),
    ],
)
def test_each_kind_has_its_scale(name, shape, rms):
    weight = random_weight(name, shape)
    assert float(weight.square().mean().sqrt()) == pytest.approx(rms, rel=0.05)


def test_the_final_norm_has_random_signs_and_the_others_have_not():
    signs = random_weight("model.norm.weight", (4000,)).sign()
    assert abs(float(signs.mean())) < 0.1
    assert bool((random_weight("model.layers.0.input_layernorm.weight", (4000,)) > 0).all())


def test_quiet_rows_are_small_and_the_rest_is_as_it_was():
    loud = random_weight("lm_head.weight", SHAPE)
    quiet = random_weight("lm_head.weight", SHAPE, quiet_rows=[2, 299, 1000])
    assert torch.equal(quiet[[2, 299]], loud[[2, 299]] * QUIET_ROW_SCALE)
    assert torch.equal(quiet[3:299], loud[3:299])
    other = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(random_weight(other, SHAPE, quiet_rows=[2]), random_weight(other, SHAPE))


@pytest.mark.gpu
def test_an_accelerator_draws_its_own_numbers_of_the_same_kind():
    name = "model.layers.0.mlp.down_proj.weight"
    weight = random_weight(name, (64, 400), dtype=torch.bfloat16, device="cuda")
    assert weight.is_cuda
    assert float(weight.float().square().mean().sqrt()) == pytest.approx(0.05, rel=0.05)
    assert torch.equal(weight, random_weight(name, (64, 400), dtype=torch.bfloat16, device="cuda"))
