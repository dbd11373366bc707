"""The model: transformers' Qwen3 by another hand, and the directory that both read."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from sglite.models.hf_config import HFConfig
from sglite.models.registry import spec_from_hf
from tests.training.tiny import SHAPE, counting
from training.batches import make_batch
from training.model import CONTEXT_LENGTH, Qwen3, build_model, export_model, load_model
from training.train import DRAFT
from training.trainer import Recipe, batch_loss

TOKEN_IDS = torch.tensor([[3, 17, 60, 2, 2, 31, 8, 44, 5, 11, 29, 1]])


def causal(length: int) -> torch.Tensor:
    """The mask [1, 1, T, T] of one sample."""
    return torch.ones(length, length, dtype=torch.bool).tril()[None, None]


def logits(model: Qwen3, token_ids: torch.Tensor) -> torch.Tensor:
    """[1, T, vocabulary] for one sample."""
    length = token_ids.shape[1]
    positions = torch.arange(length)[None]
    return model.logits(model.model(token_ids, positions, causal(length)))


def restless_model() -> Qwen3:
    """A model whose weights, norms included, are far from where they start."""
    model = build_model(SHAPE, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model")
    export_model(restless_model(), SHAPE, path)
    return path


def test_logits_are_those_of_transformers(directory: Path) -> None:
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(str(directory), dtype=torch.float32)
    assert type(theirs).__name__ == "Qwen3ForCausalLM"
    ours = load_model(directory, SHAPE)
    with torch.no_grad():
        expected = theirs(TOKEN_IDS).logits
        found = logits(ours, TOKEN_IDS)
    assert expected.std() > 0.3
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_engine_knows_the_exported_config(directory: Path) -> None:
    spec = spec_from_hf(HFConfig.from_directory(directory))
    assert spec.num_parameters == sum(p.numel() for p in Qwen3(SHAPE).parameters())
    assert spec.context_length == CONTEXT_LENGTH


def test_the_loss_of_a_packed_row_is_that_of_its_samples() -> None:
    model = restless_model()
    samples = [counting(3, 7), counting(40, 4), counting(11, 9)]
    packed = batch_loss(model, make_batch([samples[:2], samples[2:]], 16))
    total, num_learnt = torch.zeros(()), 0
    for sample in samples:
        ids = torch.from_numpy(sample.token_ids).long()[None]
        found = logits(model, ids)[0, :-1]
        total = total + functional.cross_entropy(found, ids[0, 1:], reduction="sum")
        num_learnt += ids.shape[1] - 1
    torch.testing.assert_close(packed, total / num_learnt, rtol=1e-5, atol=1e-5)


def test_padding_gives_no_nan_and_no_gradient_of_it() -> None:
    model = restless_model()
    torch.autograd.backward(batch_loss(model, make_batch([[counting(3, 4)]], 32)))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_token_changes_nothing_before_it() -> None:
    model = restless_model()
    changed = TOKEN_IDS.clone()
    changed[0, 7] = 50
    with torch.no_grad():
        before, after = logits(model, TOKEN_IDS), logits(model, changed)
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_a_seed_gives_the_same_model() -> None:
    first, second, third = (build_model(SHAPE, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], third["model.embed_tokens.weight"])


def test_matrices_into_the_residual_start_smaller() -> None:
    wide = replace(SHAPE, hidden_size=128, intermediate_size=256)
    layer = build_model(wide, seed=0).state_dict()
    prefix = "model.layers.0."
    assert layer[f"{prefix}mlp.up_proj.weight"].std().item() == pytest.approx(0.02, rel=0.05)
    assert layer[f"{prefix}mlp.down_proj.weight"].std().item() == pytest.approx(0.01, rel=0.05)


def test_an_export_is_bf16_and_readable_by_all(directory: Path) -> None:
    weights = directory / "model.safetensors"
    num_parameters = sum(p.numel() for p in Qwen3(SHAPE).parameters())
    assert 2 * num_parameters < weights.stat().st_size < 2 * num_parameters + 4_000
    assert stat.S_IMODE(weights.stat().st_mode) == 0o644
    names = sorted(path.name for path in directory.iterdir())
    assert names == ["config.json", "generation_config.json", "model.safetensors"]


def test_the_model_decodes_greedily_and_stops_at_both_ends(directory: Path) -> None:
    config = json.loads((directory / "generation_config.json").read_text(encoding="utf-8"))
    assert config == {"do_sample": False, "eos_token_id": [2, 0], "pad_token_id": 0}


def test_the_draft_model_fits_the_main_one() -> None:
    main, draft = Recipe().shape, DRAFT.shape
    assert draft.vocab_size == main.vocab_size
    sizes = [sum(p.numel() for p in Qwen3(shape).parameters()) for shape in (main, draft)]
    assert sizes[1] < sizes[0] / 4
    assert draft.hf_config()["max_position_embeddings"] == CONTEXT_LENGTH
